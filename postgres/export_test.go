package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// OpenTraced is Open for tests that look at the statements.
func OpenTraced(ctx context.Context, url string, tracer pgx.QueryTracer) (*Store, error) {
	config, err := poolConfig(url)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.Tracer = tracer
	return openWith(ctx, config, Options{})
}
