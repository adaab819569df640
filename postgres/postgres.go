// Package postgres is the store on PostgreSQL, 14 or later.
//
// The executions are in one table, partitioned by time, that other clients
// may read and write; triggers keep what is derived from it. Everything else
// that is Sandtrail's lives in a schema of its own.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/sqlstore"
)

// Options say where things are in the database. They matter to the migration
// that creates them, which remembers them; later zero values mean "as
// remembered" and other values must agree with it.
type Options struct {
	Schema     string // of Sandtrail's own tables and the partitions; "": sandtrail
	Users      OwnerTable
	Strategies OwnerTable
	// Adopt lets Migrate take over a table of executions that another tool made
	// from the reference's model. PlanAdoption tells what it will do.
	Adopt bool
	// Logs is the table to adopt.
	Logs LogTable
	// ExtraColumns says what becomes of columns of that table that are none of
	// the execution's: "" keeps them as columns of the log, "metadata" puts their
	// values there.
	ExtraColumns string
	// Repair lets Migrate begin a new log where the table of executions was
	// dropped from outside; the old log's schema is kept under another name.
	Repair bool
	// Report is told what an adoption does, one thing a line. Nil tells nobody.
	Report func(line string)

	fewTexts, searchBudget, readAtOnce int // for tests; 0: the constants

	repaired string // the schema of the old log, while it is repaired
	// Partitions is how long the partitions are that are made from now on
	// beyond those that exist: "day", "week", "month" or "auto", by how many
	// executions come. Migrate remembers it in the database; "" leaves it as
	// it is, which is "auto" at first.
	Partitions string
}

// OwnerTable names the application's table of users or strategies and its
// columns as they are spelled in the database. Zero fields mean the default.
type OwnerTable struct {
	Table string // "users" or "strategies"; a schema may precede it: "app.User"
	ID    string // "id"
	Email string // "email"; of users only
	Name  string // "name"
	// Type is what the key has to be: "text", which varchar is too, "uuid",
	// "smallint", "integer", "bigint". "": whatever it is.
	Type string
	// At is where an application's schema says all this, such as
	// "schema.prisma:12"; the table has to exist then. "": the caller says it.
	At string

	chosen bool // the table was named, or a foreign key names it
}

// LogTable is an application's own table of executions.
type LogTable struct {
	Table string // "sandbox_execution_logs"; a schema may precede it: "app.Log"
	// Columns are its names of our columns where it has neither the reference's
	// field names nor ours: "user_id" → "owner".
	Columns map[string]string
	// At is where an application's schema says this; "": the caller says it.
	At string
}

// Store is a database.Database on PostgreSQL.
type Store struct {
	tables
	pool       pool
	keepPlans  bool
	options    Options
	layout     atomic.Pointer[layout] // nil: not seen migrated yet
	partitions partitionSet
	searching  chan struct{} // a place for each search that runs: half of the connections

	ends error // for tests: each transaction ends with it at first; nil: it does not
}

var _ database.Database = (*Store)(nil)

// Open connects to a database and checks that it answers. It changes nothing:
// a new database is usable after Migrate. Of the URL's parameters those that
// only Prisma knows are understood or ignored: pgbouncer=true, for one, keeps
// no statement prepared from one transaction to the next.
func Open(ctx context.Context, databaseURL string, options Options) (*Store, error) {
	config, err := poolConfig(databaseURL)
	if err != nil {
		return nil, err
	}
	return openWith(ctx, config, options)
}

func openWith(ctx context.Context, config *pgxpool.Config, options Options) (*Store, error) {
	ctx = database.WithOwnLimits(ctx)
	if options.Schema == "" {
		options.Schema = defaultSchema
	}
	if err := partitionSize(options.Partitions).check(); err != nil {
		return nil, err
	}
	connections, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, wrap("open database", err)
	}
	options.fewTexts, options.searchBudget = cmp.Or(options.fewTexts, fewTexts), cmp.Or(options.searchBudget, database.SearchBudget)
	options.readAtOnce = cmp.Or(options.readAtOnce, readAtOnce)
	s := &Store{pool: pool{connections}, options: options, keepPlans: config.ConnConfig.StatementCacheCapacity > 0}
	s.tables = sqlstore.New(engine{s})
	s.searching = make(chan struct{}, max(1, connections.Config().MaxConns/2))
	if err := s.checkTriggers(ctx); err != nil {
		connections.Close()
		return nil, err
	}
	if _, err := s.open(ctx); err != nil && !errors.Is(err, errNotMigrated) && !errors.Is(err, errGone) {
		connections.Close()
		return nil, err
	}
	return s, nil
}

// keptPlans is how many plans a connection keeps. There are some twenty words
// to ask in, a few of which change with the week or the day.
const keptPlans = "100"

func poolConfig(databaseURL string) (*pgxpool.Config, error) {
	u, err := url.Parse(databaseURL)
	if err != nil {
		// The error repeats the URL, which may hold a password.
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "database: must be a URL such as postgres://user@host:5432/name")
	}
	values := u.Query()
	if schema := values.Get("schema"); schema != "" && !values.Has("search_path") {
		values.Set("search_path", pgx.Identifier{schema}.Sanitize())
	}
	switch {
	case values.Has("statement_cache_capacity"):
	case values.Get("pgbouncer") == "true", values.Get("statement_cache_size") == "0":
		values.Set("statement_cache_capacity", "0")
	default:
		values.Set("statement_cache_capacity", keptPlans)
	}
	for _, prismaOnly := range []string{"schema", "connection_limit", "pool_timeout", "pgbouncer", "socket_timeout", "statement_cache_size"} {
		values.Del(prismaOnly)
	}
	u.RawQuery = values.Encode()
	if u.Host == "" && u.Path == "" {
		u.Path = "/" // as text, an address of neither host nor path loses its slashes
	}
	config, err := pgxpool.ParseConfig(u.String())
	if err != nil {
		return nil, &sandtrail.Error{Code: sandtrail.CodeInvalid, Message: "database: the URL is not understood: " + err.Error(), Err: err}
	}
	params := config.ConnConfig.RuntimeParams
	params["timezone"] = "UTC"
	params["standard_conforming_strings"] = "on"
	params["application_name"] = "sandtrail"
	// A plan kept for all parameters would open every partition; one made for
	// the actual times opens those that can hold them. Only statements without
	// a name are always planned anew without forbidding the server to keep
	// plans for its own foreign key checks. Those that ask sends are different.
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	if config.ConnConfig.StatementCacheCapacity > 0 { // sessions are ours alone
		config.ConnConfig.AfterConnect = prepareSession
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	return config, nil
}

// checkTriggers connects, and refuses sessions in which no trigger fires: what
// they write would be in no statistic and not in the ledger.
func (s *Store) checkTriggers(ctx context.Context) error {
	const setting = "session_replication_role"
	var role string
	err := s.pool.QueryRow(ctx, "SELECT current_setting($1)", setting).Scan(&role)
	if err == nil && role == "replica" {
		err = met(setting, role, nil)
	}
	return wrap("open database", err)
}

// prepareSession sets aside, in a session that is ours alone, what a database
// may have for applications: the level of transactions, and how long a session
// waits for the next statement.
func prepareSession(ctx context.Context, conn *pgconn.PgConn) error {
	return conn.Exec(ctx, "SET default_transaction_isolation TO 'read committed'; SET idle_session_timeout TO 0").Close()
}

// Ping asks the server for a sign of life.
func (s *Store) Ping(ctx context.Context) error { return wrap("ping", s.pool.Ping(ctx)) }

// Close ends all connections; calls under way finish first.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}

// querier is a pool, a connection or a transaction.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// inTx runs f in a transaction, again when PostgreSQL ended it for reasons
// that another try may not meet. f has the transaction and no way to the pool.
// It changes nothing outside but its results, which it sets anew each time.
func (s *Store) inTx(ctx context.Context, f func(pgx.Tx) error) error {
	return s.again(f, func(f func(pgx.Tx) error) error { return s.pool.inTx(ctx, pgx.TxOptions{}, f) })
}

// again runs f in a transaction as inTx does, by run.
func (s *Store) again(f func(pgx.Tx) error, run func(f func(pgx.Tx) error) error) error {
	ends := s.ends
	return again(func() error {
		return run(func(tx pgx.Tx) error {
			err := f(tx)
			if err == nil && ends != nil {
				err, ends = ends, nil
			}
			return err
		})
	})
}

// asSession is the mode of transactions that write, where the server and the
// operator let the session.
const asSession pgx.TxAccessMode = ""

// inSnapshot runs f in a transaction that sees one state of everything.
func (s *Store) inSnapshot(ctx context.Context, l *layout, mode pgx.TxAccessMode, f func(pgx.Tx) error) error {
	return s.pool.explain(ctx, s.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		return l.keeper().snapshot(ctx, conn.Conn(), mode, f)
	}))
}

// again runs a transaction again that PostgreSQL ended for reasons that
// another try may not meet.
func again(transaction func() error) (err error) {
	for range 10 {
		if err = transaction(); !isTransient(err) {
			return err
		}
	}
	return err
}

// ask runs one of the statements that are asked all the time, in the same
// words, so that planning them would cost more than running them: their plans
// are kept. What they read of the executions must be bounded by constants.
func (s *Store) ask(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	return s.pool.Query(ctx, query, s.kept(args)...)
}

// change is ask for a statement that changes rows; it returns how many. Tried
// again like a transaction.
func (s *Store) change(ctx context.Context, statement string, args ...any) (n int64, err error) {
	err = again(func() error {
		tag, err := s.pool.Exec(ctx, statement, s.kept(args)...)
		n = tag.RowsAffected()
		return err
	})
	return n, err
}

// kept are arguments of a statement whose plan is kept, if plans are.
func (s *Store) kept(args []any) []any {
	if l := s.layout.Load(); !s.keepPlans || l == nil || !l.keepsPlans() {
		return args
	}
	return append([]any{pgx.QueryExecModeCacheStatement}, args...)
}

// execInTx is inTx for one statement; it returns how many rows it changed.
func (s *Store) execInTx(ctx context.Context, statement string, args ...any) (n int64, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, statement, args...)
		n = tag.RowsAffected()
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// quoteTable spells a table's name, with or without its schema, for SQL.
func quoteTable(name string) string {
	schema, table, qualified := strings.Cut(name, ".")
	if !qualified {
		return pgx.Identifier{name}.Sanitize()
	}
	return pgx.Identifier{schema, table}.Sanitize()
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// wrapf is wrap with a formatted description of what was being done.
func wrapf(err error, format string, args ...any) error {
	return wrap(fmt.Sprintf(format, args...), err)
}
