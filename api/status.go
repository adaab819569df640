// Package api holds the words that the server and its client share: which
// error has which HTTP status, how a problem is written, and the shapes of
// requests and answers.
package api

import (
	"net/http"
	"slices"

	"github.com/sandtrail/sandtrail"
)

// Meaning is what a code says at each edge.
type Meaning struct {
	Code   sandtrail.Code
	Status int    // of HTTP
	Exit   int    // of the command line
	Says   string // whose fault it is and what to do
}

// meanings has one status for each code, so that a status alone tells the code
// where the document was lost on the way. docs/errors.md shows the table.
var meanings = [...]Meaning{
	{sandtrail.CodeInvalid, http.StatusUnprocessableEntity, 2, "The request breaks a rule. Change what the message names."},
	{sandtrail.CodeNotFound, http.StatusNotFound, 2, "There is no such thing here. Check the id."},
	{sandtrail.CodeConflict, http.StatusConflict, 2, "The id or e-mail is taken by something else. Take another."},
	{sandtrail.CodeUnauthorized, http.StatusUnauthorized, 2, "No valid key was given. Give one."},
	{sandtrail.CodeForbidden, http.StatusForbidden, 2, "The key may not do this. Ask for one with another role."},
	{sandtrail.CodeHeld, http.StatusLocked, 1, "A legal hold keeps what should be removed. Ask who placed it."},
	{sandtrail.CodeRateLimited, http.StatusTooManyRequests, 3, "Too many requests. Repeat after the time in Retry-After."},
	{sandtrail.CodeTooLarge, http.StatusRequestEntityTooLarge, 2, "The request or an execution exceeds a limit. Send less at once."},
	{sandtrail.CodeUnavailable, http.StatusServiceUnavailable, 3, "The store or server cannot do this now. Its operator can mend it; repeat later."},
	{sandtrail.CodeInternal, http.StatusInternalServerError, 3, "A fault of Sandtrail's own. The server's log says more under the request's id."},
}

// Meanings lists every code.
func Meanings() []Meaning { return slices.Clone(meanings[:]) }

// MeaningOf is what a code says; that of CodeInternal for one it does not know.
func MeaningOf(code sandtrail.Code) Meaning {
	for _, m := range meanings {
		if m.Code == code {
			return m
		}
	}
	return meanings[len(meanings)-1]
}

// Status is the HTTP status of a code.
func Status(code sandtrail.Code) int { return MeaningOf(code).Status }

// CodeOfStatus is the code that an answer without a problem document stands
// for: what proxies and the HTTP library itself send.
func CodeOfStatus(status int) sandtrail.Code {
	for _, m := range meanings {
		if m.Status == status {
			return m.Code
		}
	}
	switch status {
	case http.StatusBadGateway, http.StatusGatewayTimeout, http.StatusRequestTimeout:
		return sandtrail.CodeUnavailable
	}
	if status >= 400 && status < 500 {
		return sandtrail.CodeInvalid
	}
	return sandtrail.CodeInternal
}
