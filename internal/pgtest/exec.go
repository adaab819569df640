package pgtest

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ExecAll runs statements in one transaction.
func ExecAll(ctx context.Context, conn *pgx.Conn, statements ...string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, text := range statements {
			if _, err := tx.Exec(ctx, text); err != nil {
				return fmt.Errorf("%s: %w", text, err)
			}
		}
		return nil
	})
}
