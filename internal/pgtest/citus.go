package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// CitusEnv names the variable that holds the URL of a Citus coordinator, as a
// superuser who may log in to its workers too. When it is set, New gives
// databases that are distributed over that cluster.
const CitusEnv = "SANDTRAIL_TEST_CITUS"

// OnCitus reports whether New gives distributed databases.
func OnCitus() bool { return os.Getenv(CitusEnv) != "" }

// newDistributed creates a database on every node of a cluster and makes a
// cluster of them.
func newDistributed(t testing.TB, coordinator, name string) string {
	t.Helper()
	nodes, err := nodesOf(t.Context(), coordinator)
	if err != nil || len(nodes) < 2 {
		t.Fatalf("pgtest: %s: want the coordinator of a cluster with workers, found %d nodes: %v", CitusEnv, len(nodes), err)
	}
	t.Cleanup(func() {
		onEach(t, nodes, func(n node) error { return execAt(n.server, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	})
	onEach(t, nodes, func(n node) error {
		if err := execAt(n.server, "CREATE DATABASE "+name); err != nil {
			return err
		}
		return execAt(n.at(name), "CREATE EXTENSION citus")
	})
	database := nodes[0].at(name)
	exec(t, database, fmt.Sprintf("SELECT citus_set_coordinator_host('%s', %s)", nodes[0].host, nodes[0].port))
	for _, worker := range nodes[1:] {
		exec(t, database, fmt.Sprintf("SELECT citus_add_node('%s', %s)", worker.host, worker.port))
	}
	return database
}

// node is a server of a cluster.
type node struct {
	host, port string
	server     string // the URL of a database on it
}

func (n node) at(database string) string { return at(n.server, database) }

// nodesOf lists the servers of a cluster, the coordinator first.
func nodesOf(ctx context.Context, coordinator string) ([]node, error) {
	u, err := url.Parse(coordinator)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, coordinator)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT nodename, nodeport::text FROM pg_dist_node WHERE isactive ORDER BY groupid")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (n node, err error) {
		err = row.Scan(&n.host, &n.port)
		server := *u
		server.Host = net.JoinHostPort(n.host, n.port)
		n.server = server.String()
		return n, err
	})
}

func onEach(t testing.TB, nodes []node, f func(node) error) {
	t.Helper()
	errs := make([]error, len(nodes))
	var wait sync.WaitGroup
	for i, n := range nodes {
		wait.Go(func() { errs[i] = f(n) })
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
