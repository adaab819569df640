package pgtest_test

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail/internal/pgtest"
)

func TestNewGivesSeparateUTCDatabases(t *testing.T) {
	ctx := context.Background()
	one, two := pgtest.New(t), pgtest.New(t)
	if one == two {
		t.Fatalf("twice the same database: %s", one)
	}
	conn, err := pgx.Connect(ctx, one)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var zone string
	if err := conn.QueryRow(ctx, "SHOW timezone").Scan(&zone); err != nil || zone != "UTC" {
		t.Fatalf("session zone %q, %v; want UTC", zone, err)
	}
	if os.Getenv(pgtest.Env) == "" {
		t.Errorf("%s is not set for child processes", pgtest.Env)
	}
}

func TestOwnServerComesBackFromACrash(t *testing.T) {
	own := pgtest.NewOwn(t)
	query := func(sql string) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), own.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	query("CREATE TABLE kept ()")
	own.Crash()
	query("SELECT FROM kept")
}
