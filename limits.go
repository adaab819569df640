package sandtrail

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
