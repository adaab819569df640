-- Where the application keeps its users and strategies, made only where they
-- do not exist.
CREATE TABLE IF NOT EXISTS users (
  id    TEXT NOT NULL PRIMARY KEY,
  email TEXT NOT NULL CONSTRAINT users_email_key UNIQUE,
  name  TEXT
) STRICT;

CREATE TABLE IF NOT EXISTS strategies (
  id   TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL
) STRICT;

-- One row per execution. Times are UTC text of one fixed form: it sorts as
-- the instants do and SQLite's date functions read it. The checks keep other
-- writers to the forms that Sandtrail reads; the defaults spare them the rest.
CREATE TABLE sandbox_execution_logs (
  id TEXT NOT NULL PRIMARY KEY
    DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2)
      || '-' || substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))))
    CONSTRAINT id_is_lower_case_uuid
    CHECK (id LIKE '________-____-____-____-____________' AND id NOT GLOB '*[^0-9a-f-]*'),
  user_id        TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE ON UPDATE CASCADE,
  strategy_id    TEXT NOT NULL REFERENCES strategies (id) ON DELETE CASCADE ON UPDATE CASCADE,
  execution_type TEXT NOT NULL CHECK (execution_type IN ('VALIDATION', 'TERMINAL')),
  success        INTEGER NOT NULL CHECK (success IN (0, 1)),
  execution_time INTEGER NOT NULL CHECK (execution_time BETWEEN 0 AND 2147483647),
  memory_used    INTEGER CHECK (memory_used BETWEEN 0 AND 2147483647),
  cpu_usage      REAL CHECK (cpu_usage >= 0),
  timed_out      INTEGER NOT NULL DEFAULT 0 CHECK (timed_out IN (0, 1) AND NOT (success AND timed_out)),
  error_count    INTEGER NOT NULL DEFAULT 0 CHECK (error_count BETWEEN 0 AND 2147483647),
  warning_count  INTEGER NOT NULL DEFAULT 0 CHECK (warning_count BETWEEN 0 AND 2147483647),
  classes_found  TEXT,
  metadata       TEXT,
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
    CONSTRAINT created_at_is_utc_with_milliseconds
    CHECK (created_at IS strftime('%Y-%m-%d %H:%M:%f', created_at))
) STRICT;

-- The recent executions of a user, and the cascade from users.
CREATE INDEX sandbox_execution_logs_user_id_created_at_id_idx
  ON sandbox_execution_logs (user_id, created_at, id);
-- The recent executions and the health of a strategy, and the cascade.
CREATE INDEX sandbox_execution_logs_strategy_id_created_at_id_idx
  ON sandbox_execution_logs (strategy_id, created_at, id);
-- All recent executions, windows of time, cleanup.
CREATE INDEX sandbox_execution_logs_created_at_id_idx
  ON sandbox_execution_logs (created_at, id);
-- The recent failures, without a look at the successes.
CREATE INDEX sandbox_execution_logs_failures_idx
  ON sandbox_execution_logs (created_at, id) WHERE success = 0;
