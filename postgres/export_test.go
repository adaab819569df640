package postgres

import (
	"context"
	"net"

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

// OpenDialed is Open for tests that stand between the store and the server.
func OpenDialed(ctx context.Context, url string, dial func(ctx context.Context, network, address string) (net.Conn, error)) (*Store, error) {
	config, err := poolConfig(url)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.DialFunc = dial
	return openWith(ctx, config, Options{})
}
