package worker

import (
	"context"
	"log/slog"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// KeptStore is a database that a program keeps by itself, without a server.
type KeptStore interface {
	Maintainer
	RetentionStore
}

// Keep does the upkeep of a database until the context ends: it keeps answers fast,
// and once a day removes executions that are older than their period. Any
// number of programs may keep one database. What fails is logged and tried again.
func Keep(ctx context.Context, store KeptStore, periods sandtrail.Periods, log *slog.Logger) {
	loop := Loop{
		Jobs: Upkeep(store), Log: log,
		Now: func(ctx context.Context) (time.Time, error) { return database.TimeOf(ctx, store, time.Now()) },
	}
	if periods.Removes() {
		agree := func(ctx context.Context) error { return database.AgreeOnTime(ctx, store, time.Now()) }
		loop.Jobs = append(loop.Jobs, Retention(store, periods, agree, log))
	}
	loop.Run(ctx)
}
