package database

import "context"

type ownLimitsKey struct{}

// WithOwnLimits returns a context for work that takes as long as there is data,
// such as an export. A database sets aside the limits of time that its
// administrator gives to requests; the caller bounds such work by the context.
// Upkeep, migrations, verification and cleanups work so without being asked.
func WithOwnLimits(ctx context.Context) context.Context {
	return context.WithValue(ctx, ownLimitsKey{}, true)
}

// HasOwnLimits reports whether a context is of WithOwnLimits.
func HasOwnLimits(ctx context.Context) bool { return ctx.Value(ownLimitsKey{}) != nil }

type deletedKey struct{}

// OnDeleted returns a context with which a store's Cleanup, DeleteUser and
// DeleteStrategy call f after each of their steps, with how many executions
// that deleted. A step that is told of is durable. A client of a server knows
// no steps and never calls it.
func OnDeleted(ctx context.Context, f func(n int64)) context.Context {
	return context.WithValue(ctx, deletedKey{}, f)
}

// ReportDeleted calls the function of OnDeleted, if the context has one, with the
// executions that a step deleted. Stores call it once the step is durable.
func ReportDeleted(ctx context.Context, n int64) {
	if f, ok := ctx.Value(deletedKey{}).(func(int64)); ok && n > 0 {
		f(n)
	}
}
