package api

import (
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/auth"
)

// Page is one page of a list.
type Page[T any] struct {
	Items      []T     `json:"items" nullable:"false"`
	NextCursor *string `json:"nextCursor" doc:"Ask for the next page with it; null on the last page."`
}

// NewPage is the page with these items; a nil slice becomes an empty list.
func NewPage[T any](items []T, next string) Page[T] {
	p := Page[T]{Items: items}
	if items == nil {
		p.Items = []T{}
	}
	if next != "" {
		p.NextCursor = &next
	}
	return p
}

// Next is the next page's cursor, "" on the last page.
func (p Page[T]) Next() string {
	if p.NextCursor == nil {
		return ""
	}
	return *p.NextCursor
}

// ExportEnd is the last line of an export with a manifest.
type ExportEnd struct {
	Manifest string `json:"manifest"` // signed, of the lines before it
}

// Appended answers an append.
type Appended struct {
	Accepted   int64          `json:"accepted" doc:"Executions stored by this request."`
	Duplicates int64          `json:"duplicates" doc:"Executions that were stored already, or stand twice in the request."`
	IDs        []sandtrail.ID `json:"ids" doc:"One id per execution, in order. null for NDJSON of more than 10000 executions."`
}

// Deleted answers a removal.
type Deleted struct {
	Deleted int64 `json:"deleted" doc:"Executions that were deleted."`
}

// Count answers the question what a cleanup would do.
type Count struct {
	Count int64 `json:"count" doc:"Executions that it would delete."`
	Held  int64 `json:"held" doc:"Old executions that legal holds keep."`
}

// CleanedUp answers a cleanup.
type CleanedUp struct {
	Deleted int64 `json:"deleted" doc:"Executions that were deleted."`
	Held    int64 `json:"held" doc:"Old executions that legal holds keep."`
}

// NewHold is the body of a PUT of a hold.
type NewHold struct {
	Reason string `json:"reason,omitempty" example:"Case 2026-17"`
}

// NewSilence asks for a silence.
type NewSilence struct {
	Rule   string `json:"rule,omitempty" doc:"Name of a rule; every rule if left out." example:"high-failure-rate"`
	For    string `json:"for" doc:"A length of time from now." example:"2h"`
	Reason string `json:"reason,omitempty" example:"Moving the sandboxes"`
}

// Make makes the silence, or says which field is wrong.
func (n NewSilence) Make(by string, now time.Time) (alert.Silence, error) {
	now = sandtrail.Millisecond(now)
	lifetime, err := sandtrail.ParseDuration(n.For)
	if err != nil {
		return alert.Silence{}, &sandtrail.Error{
			Code: sandtrail.CodeInvalid, Err: err, Fields: []sandtrail.FieldError{{Path: "for", Message: err.Error()}},
		}
	}
	s := alert.Silence{
		ID: sandtrail.NewID(now), Rule: n.Rule, Reason: n.Reason, CreatedBy: by, CreatedAt: now, Until: sandtrail.Millisecond(now.Add(lifetime)),
	}
	return s, s.Validate()
}

// OwnerUser is the body of a PUT of a user; the id in the path counts.
type OwnerUser struct {
	ID    string  `json:"id,omitempty" doc:"May be left out; if given, the id in the path."`
	Email string  `json:"email" doc:"Unique." example:"ada@example.com"`
	Name  *string `json:"name,omitempty" nullable:"true" example:"Ada"`
}

// OwnerStrategy is the body of a PUT of a strategy; the id in the path counts.
type OwnerStrategy struct {
	ID   string `json:"id,omitempty" doc:"May be left out; if given, the id in the path."`
	Name string `json:"name" example:"Moving average"`
}

// NewKey asks for a key.
type NewKey struct {
	Name      string    `json:"name,omitempty" example:"ci"`
	Role      auth.Role `json:"role" enum:"ingest,read,auditor,admin"`
	UserID    string    `json:"userId,omitempty" doc:"read only: the key sees this user's executions alone."`
	ExpiresIn string    `json:"expiresIn,omitempty" doc:"A length of time from now; never if left out." example:"30d"`
}

// Make makes the key and its secret, or says which field is wrong.
func (n NewKey) Make(now time.Time) (auth.Key, string, error) {
	key, secret := auth.NewKey(n.Name, n.Role, n.UserID, now)
	if n.ExpiresIn != "" {
		lifetime, err := sandtrail.ParseDuration(n.ExpiresIn)
		if err != nil {
			return key, "", &sandtrail.Error{
				Code: sandtrail.CodeInvalid, Err: err,
				Fields: []sandtrail.FieldError{{Path: "expiresIn", Message: err.Error()}},
			}
		}
		expires := key.CreatedAt.Add(lifetime)
		key.ExpiresAt = &expires
	}
	return key, secret, key.Validate()
}

// CreatedKey answers it: the only time the secret is shown.
type CreatedKey struct {
	auth.Key
	Secret string `json:"secret" doc:"Send it as Authorization: Bearer. It is not kept and cannot be shown again."`
}

// Alerts answers the question which rules fire.
type Alerts struct {
	Firing bool    `json:"firing" doc:"Whether any rule fires."`
	Alerts []Alert `json:"alerts" nullable:"false" doc:"Every rule with what it says now."`
}

// Alert is a rule and its verdict.
type Alert struct {
	Name       string                `json:"name"`
	Metric     alert.Metric          `json:"metric" enum:"failureRate,timeoutRate,p95Time,noExecutions"`
	Window     string                `json:"window" doc:"Looked back from now." example:"1h"`
	Threshold  float64               `json:"threshold" doc:"Fires strictly above it."`
	MinSample  int64                 `json:"minSample" doc:"Fewer executions never fire."`
	ResolveAt  *float64              `json:"resolveAt,omitempty" doc:"Once it fires it goes on until the metric is at or below it; the threshold if left out."`
	For        string                `json:"for,omitempty" doc:"Fires when the condition has held that long." example:"5m"`
	UserID     string                `json:"userId,omitempty"`
	StrategyID string                `json:"strategyId,omitempty"`
	Firing     bool                  `json:"firing"`
	Value      *float64              `json:"value" doc:"Of the metric; null over nothing."`
	Message    string                `json:"message"`
	Stats      sandtrail.WindowStats `json:"stats"`
}

// NewAlert describes a verdict.
func NewAlert(v alert.Verdict) Alert {
	r := v.Rule
	patience := ""
	if r.For > 0 {
		patience = sandtrail.FormatDuration(r.For)
	}
	return Alert{
		Name: r.Name, Metric: r.Metric, Window: sandtrail.FormatDuration(r.Window), Threshold: r.Threshold,
		MinSample: r.MinSample, ResolveAt: r.ResolveAt, For: patience, UserID: r.UserID, StrategyID: r.StrategyID,
		Firing: v.Firing, Value: v.Value, Message: v.Message, Stats: v.Stats,
	}
}
