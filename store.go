package sandtrail

import (
	"context"
	"time"
)

// The interfaces below are the contract of every store and of the client.
// For all of them:
//
//   - Methods may be called concurrently, from several processes too.
//   - When the context ends, a method returns promptly with an error that
//     wraps ctx.Err(), and what it was writing is either wholly there or not
//     at all.
//   - A store or server that cannot be reached is CodeUnavailable; the call may
//     be repeated.
//   - Stores never read the clock and never make ids: both come in with the
//     call.

// Appender adds executions.
type Appender interface {
	// Append stores a batch, all or nothing. When it returns without error
	// every execution is durable and visible to every reader.
	//
	// An execution whose id is already stored with the same content
	// (Admitted.SameContent) is a duplicate and stored once, also when two
	// calls race. One with different content fails the batch with
	// CodeConflict. A user or strategy that does not exist fails it with
	// CodeInvalid. Field paths are as in Admission.Admit. A batch may hold up
	// to MaxBatch records; larger ones are CodeTooLarge.
	Append(ctx context.Context, batch []Admitted) (Appended, error)
}

// MaxBatch is the largest batch that Append takes.
const MaxBatch = 10000

// Appended says what an append did.
type Appended struct {
	Accepted   int  `json:"accepted"`   // stored by this call
	Duplicates int  `json:"duplicates"` // stored before, or earlier in the batch
	IDs        []ID `json:"ids"`        // one per execution of the batch, in its order

	// Stored says of each execution of the batch whether this call stored it
	// (true) or it is a duplicate. Stores set it; it does not travel.
	Stored []bool `json:"-"`
}

// Reader answers questions about single records.
type Reader interface {
	// Execution returns one execution with its user and strategy, or CodeNotFound.
	Execution(ctx context.Context, id ID) (Execution, error)

	// ExecutionByPrefix returns the one execution whose id begins so, among those
	// of a user if userID is not "". It answers as database.Only does, and takes
	// no longer the more executions there are.
	ExecutionByPrefix(ctx context.Context, p IDPrefix, userID string) (Execution, error)

	// Executions returns a page, newest first by (createdAt, id), each with
	// its user and strategy. Walking all pages returns every execution that was
	// there from the first page to the last exactly once. now resolves
	// Filter.Within.
	Executions(ctx context.Context, q Query, now time.Time) (Page, error)
}

// Analyst answers questions about many executions. Every answer counts exactly
// the executions that are committed when it is given, those of other programs too.
type Analyst interface {
	// StrategyStats is CodeNotFound when the strategy does not exist; a
	// strategy without executions has counts of 0 and nil rates.
	StrategyStats(ctx context.Context, strategyID string) (StrategyStats, error)
	// StrategyHealth looks at the last newest executions, 1 to MaxHealthLast.
	StrategyHealth(ctx context.Context, strategyID string, last int) (StrategyHealth, error)
	UserStats(ctx context.Context, userID string) (UserStats, error)
	// Trends returns a bucket for each of q.Edges, empty ones too, newest
	// first. It is CodeNotFound where nothing counts and the user or strategy
	// of q does not exist.
	Trends(ctx context.Context, q TrendQuery) ([]TrendBucket, error)
	WindowStats(ctx context.Context, w Window) (WindowStats, error)
	Ranking(ctx context.Context, q RankQuery) ([]Rank, error)
}

// Owners keeps users and strategies.
type Owners interface {
	// PutUser creates or replaces; an e-mail that another user has is
	// CodeConflict. What it wrote is durable when it returns.
	PutUser(ctx context.Context, u User) error
	User(ctx context.Context, id string) (User, error)
	Users(ctx context.Context, q OwnerQuery) (OwnerPage[User], error)
	// DeleteUser deletes the user and their executions and returns the number of
	// deleted executions; CodeNotFound when there is no such user, CodeHeld and
	// nothing deleted when a Hold keeps the user or any of the executions.
	DeleteUser(ctx context.Context, id string) (deleted int64, err error)

	PutStrategy(ctx context.Context, s Strategy) error
	Strategy(ctx context.Context, id string) (Strategy, error)
	Strategies(ctx context.Context, q OwnerQuery) (OwnerPage[Strategy], error)
	DeleteStrategy(ctx context.Context, id string) (deleted int64, err error)
}

// OwnerPage is a page of users or strategies in the order of their ids
// (compared byte by byte).
type OwnerPage[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"nextCursor,omitempty"`
}

// Cleaner removes old records.
type Cleaner interface {
	// CountBefore returns how many executions Cleanup would delete.
	CountBefore(ctx context.Context, c Cutoff) (int64, error)
	// Cleanup deletes the executions that are old by the cutoff and that no
	// Hold keeps, and returns exactly how many. It works in short steps that
	// do not stop writers; interrupted, it has deleted some, says how many
	// beside the error, and can be called again. A server applies its own
	// periods where the cutoff has no rules.
	Cleanup(ctx context.Context, c Cutoff) (deleted int64, err error)
}

// Store is everything that a database, or a server in front of one, does for
// its users.
type Store interface {
	Appender
	Reader
	Analyst
	Owners
	Cleaner
	Holds
	// Ping reports whether the store can serve now, CodeUnavailable if not.
	Ping(ctx context.Context) error
	Close() error
}
