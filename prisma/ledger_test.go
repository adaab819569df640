//go:build linux

package prisma_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/ledger/ledgertest"
)

// TestLedger has an application create, delete and rename through Prisma, while the
// store removes, seals and signs: a verification with the checkpoints that were
// kept outside finds nothing, and its counts add up.
func TestLedger(t *testing.T) {
	dir := buildApp(t)
	ledgertest.Lawful(t, func(t *testing.T) ledgertest.Target {
		url := pgtest.New(t)
		store := open(t, url)
		_, err := store.Migrate(t.Context(), time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
		check(t, err)
		other, err := pgx.Connect(t.Context(), url)
		check(t, err)
		t.Cleanup(func() { other.Close(context.Background()) })
		return ledgertest.Target{
			Store: store, URL: url, Act: startApp(t, dir, url).act,
			Plain: func(statements ...string) error { return pgtest.ExecAll(t.Context(), other, statements...) },
		}
	}, ledgertest.Rounds(t, 2))
}

// act does in the application what it is told to.
func (a *app) act(t testing.TB, acts ...ledgertest.Act) {
	t.Helper()
	for _, act := range acts {
		switch e := act.Create; {
		case e != nil:
			a.do(t, "create", data{
				"id": e.ID.String(), "userId": e.UserID, "strategyId": e.StrategyID, "executionType": "TERMINAL",
				"success": e.Success, "executionTime": e.ExecutionTime, "createdAt": e.CreatedAt.Format(time.RFC3339Nano),
			})
		case act.Delete != "":
			a.do(t, "deleteMany", data{"id": act.Delete})
		case act.DeleteUser != "":
			a.do(t, "deleteUser", act.DeleteUser)
		case act.DeleteStrategy != "":
			a.do(t, "deleteStrategy", act.DeleteStrategy)
		case act.RenameUser != "":
			a.do(t, "updateUser", act.RenameUser, data{"id": act.To, "email": act.To + "@example.com"})
		case act.RenameStrategy != "":
			a.do(t, "updateStrategy", act.RenameStrategy, data{"id": act.To})
		default:
			a.do(t, "deleteMany", data{"userId": act.DeleteMany, "executionTime": data{"lt": act.Below}})
		}
	}
}
