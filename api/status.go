// Package api holds the words that the server and its client share: which
// error has which HTTP status, how a problem is written, and the shapes of
// requests and answers.
package api

import (
	"net/http"

	"github.com/sandtrail/sandtrail"
)

// statuses is one to one, so that a status alone tells the code where the
// document was lost on the way.
var statuses = map[sandtrail.Code]int{
	sandtrail.CodeInvalid:      http.StatusUnprocessableEntity,
	sandtrail.CodeNotFound:     http.StatusNotFound,
	sandtrail.CodeConflict:     http.StatusConflict,
	sandtrail.CodeUnauthorized: http.StatusUnauthorized,
	sandtrail.CodeForbidden:    http.StatusForbidden,
	sandtrail.CodeHeld:         http.StatusLocked,
	sandtrail.CodeRateLimited:  http.StatusTooManyRequests,
	sandtrail.CodeTooLarge:     http.StatusRequestEntityTooLarge,
	sandtrail.CodeUnavailable:  http.StatusServiceUnavailable,
	sandtrail.CodeInternal:     http.StatusInternalServerError,
}

// Status is the HTTP status of a code; 500 for one it does not know.
func Status(code sandtrail.Code) int {
	if status, ok := statuses[code]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// CodeOfStatus is the code that an answer without a problem document stands
// for: what proxies and the HTTP library itself send.
func CodeOfStatus(status int) sandtrail.Code {
	for code, s := range statuses {
		if s == status {
			return code
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
