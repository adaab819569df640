package postgres

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/remedy"
)

// distribution is run after all migrations, once the database is on the
// coordinator of a Citus cluster that has workers.
//
//go:embed citus.sql
var distribution string

// distributionName is the name of the distribution among the migrations.
const distributionName = "citus"

// withDistribution adds the distribution to the migrations of a database that
// is, or can be, distributed.
func withDistribution(ctx context.Context, q querier, l *layout, list []database.Migration) ([]database.Migration, error) {
	step := database.Migration{Version: len(list) + 1, Name: distributionName, SQL: l.sql(distribution)}
	if l.Distributed != nil {
		step.Applied = l.Distributed.UTC()
		return append(list, step), nil
	}
	c, err := clusterOf(ctx, q)
	if err == nil && c.isWorker {
		err = sandtrail.Errorf(sandtrail.CodeInvalid, "this is a worker of a Citus cluster; give the URL of its coordinator")
	}
	if err != nil || c.workers == 0 {
		return list, err
	}
	return append(list, step), nil
}

// cluster is what a database knows of the Citus cluster it is in.
type cluster struct {
	workers  int // that take shards, beside the coordinator
	isWorker bool
}

func clusterOf(ctx context.Context, q querier) (c cluster, err error) {
	var exists bool
	err = q.QueryRow(ctx, "SELECT to_regclass('pg_catalog.pg_dist_node') IS NOT NULL").Scan(&exists)
	if err != nil || !exists {
		return c, wrap("look for Citus", err)
	}
	err = q.QueryRow(ctx, `SELECT (SELECT count(*) FROM pg_dist_node
			WHERE groupid <> 0 AND noderole = 'primary' AND isactive AND shouldhaveshards),
		EXISTS (SELECT FROM pg_dist_local_group WHERE groupid <> 0)`).Scan(&c.workers, &c.isWorker)
	return c, wrap("look for Citus workers", err)
}

// distribute hands the executions out to the workers.
func distribute(ctx context.Context, tx pgx.Tx, l *layout, step database.Migration) error {
	dropped, err := droppedIn(ctx, tx, l)
	if err != nil {
		return err
	}
	if len(dropped) > 0 {
		return sandtrail.Errorf(sandtrail.CodeUnavailable, "a cleanup has not finished; migrate again").With(sandtrail.Remedy{Act: remedy.Migrate})
	}
	if err := execEach(ctx, tx, strings.SplitAfter(step.SQL, ";\n")...); err != nil {
		return wrapf(err, "migration %d (%s)", step.Version, step.Name)
	}
	_, err = tx.Exec(ctx, l.sql("UPDATE {schema}.settings SET value = value || jsonb_build_object('distributed', $1::text) WHERE name = 'layout'"),
		step.Applied.Format(time.RFC3339Nano))
	return err
}

// execEach runs statements one by one: Citus sends the whole text that it gets
// to the workers, which take one statement at a time.
func execEach(ctx context.Context, tx pgx.Tx, statements ...string) error {
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// sizeOf is the size of a table and its indexes, wherever they are.
func (l *layout) sizeOf(oid string) string {
	if l.Distributed == nil {
		return "pg_total_relation_size(" + oid + ")"
	}
	return "CASE WHEN EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = " + oid + ")" +
		" THEN citus_total_relation_size(" + oid + ") ELSE pg_total_relation_size(" + oid + ") END"
}

// mending is what to do when executions and what is derived from them differ.
func (l *layout) mending() string {
	if l.Distributed == nil {
		return "somebody wrote to a partition directly or disabled the triggers of the table; restore them and the rows from a backup"
	}
	return "keep sandtrail serve running: it reconciles what others write; give an execution that still has no entry then another id"
}

// checkCluster says how the executions are distributed.
func (s *Store) checkCluster(ctx context.Context, l *layout, _ time.Time) (database.Check, error) {
	check := database.Check{Name: "distribution", OK: true}
	c, err := clusterOf(ctx, s.pool)
	if err != nil {
		return check, err
	}
	var shards, colocated, nodes int
	err = s.pool.QueryRow(ctx, l.sql(`SELECT count(*), count(*) FILTER (WHERE logicalrelid = '{logs}'::regclass), count(DISTINCT (nodename, nodeport))
		FROM pg_dist_shard JOIN pg_dist_shard_placement USING (shardid)
		WHERE logicalrelid IN (SELECT '{logs}'::regclass UNION ALL SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = '{logs}'::regclass)`)).
		Scan(&shards, &colocated, &nodes)
	check.Detail = fmt.Sprintf("by user over %d shards on %d of %d workers, %d tables with those of the partitions", colocated, nodes, c.workers, shards)
	return check, err
}
