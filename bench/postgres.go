package bench

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

const plainSchema = "sandtrail_bench"

// Postgres is the plain table on PostgreSQL, filled by COPY.
type Postgres struct {
	conn     *pgx.Conn
	hasTable bool
}

// OpenPostgres makes the plain table if there is to be one, in a schema of its
// own, in a database that has been migrated with the default names.
func OpenPostgres(ctx context.Context, databaseURL string, withTable bool) (*Postgres, error) {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["timezone"] = "UTC"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	p := &Postgres{conn, withTable}
	if !withTable {
		return p, nil
	}
	_, err = conn.Exec(ctx, `
		DROP SCHEMA IF EXISTS `+plainSchema+` CASCADE;
		CREATE SCHEMA `+plainSchema+`;
		CREATE TABLE `+plainSchema+`.logs (LIKE sandbox_execution_logs INCLUDING ALL);
		ALTER TABLE `+plainSchema+`.logs
			ADD FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE ON UPDATE CASCADE,
			ADD FOREIGN KEY (strategy_id) REFERENCES strategies (id) ON DELETE CASCADE ON UPDATE CASCADE;
		-- The table as Prisma makes it, for its size.
		CREATE TABLE `+plainSchema+`.reference (
			id text PRIMARY KEY, "userId" text NOT NULL, "strategyId" text NOT NULL, "executionType" text NOT NULL,
			success boolean NOT NULL, "executionTime" integer NOT NULL, "memoryUsed" integer, "cpuUsage" double precision,
			"timedOut" boolean NOT NULL DEFAULT false, "errorCount" integer NOT NULL DEFAULT 0, "warningCount" integer NOT NULL DEFAULT 0,
			"classesFound" text, metadata text, "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP);
		CREATE INDEX ON `+plainSchema+`.reference ("userId");
		CREATE INDEX ON `+plainSchema+`.reference ("strategyId");
		CREATE INDEX ON `+plainSchema+`.reference ("createdAt");`)
	if err != nil {
		conn.Close(ctx)
		return nil, fmt.Errorf("make the plain table: %w", err)
	}
	return p, nil
}

var plainColumns = []string{
	"id", "user_id", "strategy_id", "execution_type", "success", "execution_time", "memory_used", "cpu_usage",
	"timed_out", "error_count", "warning_count", "classes_found", "metadata", "created_at",
}

// HasTable reports whether the plain table was made.
func (p *Postgres) HasTable() bool { return p.hasTable }

// Append is one COPY in binary form.
func (p *Postgres) Append(ctx context.Context, batch []sandtrail.Execution) error {
	_, err := p.conn.CopyFrom(ctx, pgx.Identifier{plainSchema, "logs"}, plainColumns,
		pgx.CopyFromSlice(len(batch), func(i int) ([]any, error) {
			e := batch[i]
			var metadata *string
			if e.Metadata != nil {
				text := string(e.Metadata)
				metadata = &text
			}
			return []any{
				[16]byte(e.ID), e.UserID, e.StrategyID, string(e.Type), e.Success, e.ExecutionTime, e.MemoryUsed, e.CPUUsage,
				e.TimedOut, e.ErrorCount, e.WarningCount, database.JoinClasses(e.Classes), metadata, e.CreatedAt,
			}, nil
		}))
	return err
}

// Analyze vacuums too, so that both tables can be read by index alone.
func (p *Postgres) Analyze(ctx context.Context) error {
	if _, err := p.conn.Exec(ctx, "VACUUM (ANALYZE)"); err != nil || !p.hasTable {
		return err
	}
	_, err := p.conn.Exec(ctx, `INSERT INTO `+plainSchema+`.reference SELECT id::text, user_id, strategy_id, execution_type, success,
		execution_time, memory_used, cpu_usage, timed_out, error_count, warning_count, classes_found, metadata, created_at
		FROM `+plainSchema+`.logs`)
	return err
}

// Query prepares each statement once.
func (p *Postgres) Query(ctx context.Context, sql string, arg any) error {
	logs := "sandbox_execution_logs"
	if p.hasTable {
		logs = plainSchema + ".logs"
	}
	sql = strings.NewReplacer("{logs}", logs, "?1", "$1").Replace(sql)
	rows, err := p.conn.Query(ctx, sql, arg)
	if err != nil {
		return err
	}
	for rows.Next() {
		if _, err := rows.Values(); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Sizes counts the partitions as one table.
func (p *Postgres) Sizes(ctx context.Context) ([]Size, error) {
	rows, err := p.conn.Query(ctx, `
		SELECT part, sum(bytes)::bigint FROM (
			SELECT 'executions: heap' AS part, pg_table_size(relid) AS bytes, 1 AS place FROM pg_partition_tree('sandbox_execution_logs') WHERE isleaf
			UNION ALL SELECT 'executions: indexes', pg_indexes_size(relid), 2 FROM pg_partition_tree('sandbox_execution_logs') WHERE isleaf
			UNION ALL SELECT c.relname, pg_total_relation_size(c.oid), 3 FROM pg_class c
				WHERE c.relnamespace = 'sandtrail'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition
			UNION ALL SELECT 'plain table: heap', pg_table_size(to_regclass('`+plainSchema+`.logs')), 4
			UNION ALL SELECT 'plain table: indexes', pg_indexes_size(to_regclass('`+plainSchema+`.logs')), 5
			UNION ALL SELECT 'reference''s table: heap', pg_table_size(to_regclass('`+plainSchema+`.reference')), 6
			UNION ALL SELECT 'reference''s table: indexes', pg_indexes_size(to_regclass('`+plainSchema+`.reference')), 7
		) parts GROUP BY part, place HAVING sum(bytes) > 1048576 ORDER BY place, part`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Size])
}

// Close drops what was made and the connection.
func (p *Postgres) Close(ctx context.Context) error {
	var err error
	if p.hasTable {
		_, err = p.conn.Exec(ctx, "DROP SCHEMA IF EXISTS "+plainSchema+" CASCADE")
	}
	if closeErr := p.conn.Close(ctx); err == nil {
		err = closeErr
	}
	return err
}
