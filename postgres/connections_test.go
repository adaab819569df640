package postgres_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/postgres"
)

// Whatever the database's default is, several servers may start at once.
func TestMigrateAtOnce(t *testing.T) {
	for _, level := range []string{"read committed", "repeatable read", "serializable"} {
		t.Run(level, func(t *testing.T) {
			url := withDefault(t, pgtest.New(t), level)
			var group errgroup.Group
			for range 4 {
				s := openAt(t, url, postgres.Options{})
				group.Go(func() error {
					_, err := s.Migrate(t.Context(), now)
					return err
				})
			}
			if err := group.Wait(); err != nil {
				t.Error(err)
			}
			deepCheck(t, openAt(t, url, postgres.Options{}))
		})
	}
}

// A cleanup beside writers leaves the statistics right, whatever the default.
func TestCleanupBesideWritersUnderEveryDefault(t *testing.T) {
	for _, level := range []string{"repeatable read", "serializable"} {
		t.Run(level, func(t *testing.T) {
			url := withDefault(t, pgtest.New(t), level)
			s := openAt(t, url, postgres.Options{})
			migrate(t, s)
			putOwners(t, s, 1)
			var group errgroup.Group
			for w := range 3 {
				group.Go(func() error {
					for i := range 30 {
						at := now.AddDate(0, 0, -7*(i%10+1)).Add(time.Duration(w) * time.Second)
						if _, err := s.Append(t.Context(), []sandtrail.Admitted{execution(at), execution(now)}); err != nil {
							return err
						}
					}
					return nil
				})
			}
			for i := range 10 {
				if _, err := s.Cleanup(t.Context(), sandtrail.Before(now.AddDate(0, 0, -7*(10-i%5)))); err != nil {
					t.Error(err)
				}
				if err := s.Maintain(t.Context(), now); err != nil {
					t.Error(err)
				}
			}
			if err := group.Wait(); err != nil {
				t.Error(err)
			}
			if err := s.Maintain(t.Context(), now); err != nil {
				t.Error(err)
			}
			deepCheck(t, s)
		})
	}
}

// Whatever asks at once, each has its answer with as many connections as there
// are: none waits for a second one.
func TestFewConnections(t *testing.T) {
	for _, few := range []string{"pool_max_conns=1", "pool_max_conns=2", "pool_max_conns=4"} {
		t.Run(few, func(t *testing.T) {
			_, url := open(t)
			s := openAt(t, url+"&"+few, postgres.Options{})
			putOwners(t, s, 1)
			e := execution(now)
			appendAll(t, s, e)
			if err := s.Maintain(t.Context(), now); err != nil {
				t.Fatal(err)
			}
			keys, err := ledger.GenerateKeys(rand.Reader, "test")
			if err != nil {
				t.Fatal(err)
			}
			proofs := ledger.Service{Log: s, Keys: keys}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var group errgroup.Group
			for range 8 {
				group.Go(func() error {
					stored, err := s.Execution(ctx, e.Execution.ID)
					if err == nil {
						_, err = proofs.Receipt(ctx, stored, now)
					}
					return err
				})
				group.Go(func() error {
					_, err := s.Append(ctx, []sandtrail.Admitted{execution(now)})
					return err
				})
			}
			for range 3 {
				group.Go(func() error {
					sum, err := ledger.VerifyLog(ctx, s, ledger.Verification{})
					if err == nil && sum.FindingsN > 0 {
						err = fmt.Errorf("%d findings", sum.FindingsN)
					}
					return err
				})
			}
			if err := group.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}
