-- One row per execution that came (sign 1) or went (sign -1) and is not in the
-- roll-ups yet: an update is both. Triggers append, folding removes. It stays
-- small, so it has no index.
CREATE TABLE sandtrail_journal (
  seq            INTEGER PRIMARY KEY,
  sign           INTEGER NOT NULL,
  reason         TEXT, -- why it went, where somebody said so: 'retention'
  execution_id   TEXT NOT NULL,
  user_id        TEXT NOT NULL,
  strategy_id    TEXT NOT NULL,
  created_at     TEXT NOT NULL,
  success        INTEGER NOT NULL,
  timed_out      INTEGER NOT NULL,
  execution_time INTEGER NOT NULL,
  memory_used    INTEGER,
  cpu_usage      REAL,
  error_count    INTEGER NOT NULL,
  warning_count  INTEGER NOT NULL
) STRICT;

-- Why the transaction in progress deletes: empty outside of one.
CREATE TABLE sandtrail_reason (reason TEXT NOT NULL) STRICT;

-- One row per UTC day of everything (scope 0), a user (1) or a strategy (2)
-- that had executions then. The columns hold the encodings of package rollup.
-- It has row ids, because a search in a table without them reads whole rows:
-- the slots of a busy day are long, and few questions need them.
CREATE TABLE sandtrail_rollups (
  scope   INTEGER NOT NULL,
  key     TEXT NOT NULL,    -- '' for scope 0
  day     INTEGER NOT NULL, -- since 1970-01-01
  summary BLOB NOT NULL,    -- the whole day
  slots   BLOB NOT NULL,    -- its quarters of an hour
  PRIMARY KEY (scope, key, day)
) STRICT;

-- Rankings read some days of all keys.
CREATE INDEX sandtrail_rollups_day_idx ON sandtrail_rollups (scope, day);

-- One row per subject: all of its stored executions.
CREATE TABLE sandtrail_totals (
  scope INTEGER NOT NULL,
  key   TEXT NOT NULL,
  cell  BLOB NOT NULL,
  PRIMARY KEY (scope, key)
) STRICT;

-- Does what sandtrail_feed_execution did, and the journal: one trigger costs
-- less than two. The feed is cut back by Maintain.
DROP TRIGGER sandtrail_feed_execution;
CREATE TRIGGER sandtrail_execution_inserted AFTER INSERT ON sandbox_execution_logs BEGIN
  INSERT INTO sandtrail_feed (execution_id) VALUES (new.id);
  INSERT INTO sandtrail_journal VALUES (NULL, 1, NULL, new.id, new.user_id, new.strategy_id, new.created_at, new.success,
    new.timed_out, new.execution_time, new.memory_used, new.cpu_usage, new.error_count, new.warning_count);
END;

CREATE TRIGGER sandtrail_execution_deleted AFTER DELETE ON sandbox_execution_logs BEGIN
  INSERT INTO sandtrail_journal VALUES (NULL, -1, (SELECT reason FROM sandtrail_reason), old.id, old.user_id, old.strategy_id,
    old.created_at, old.success, old.timed_out, old.execution_time, old.memory_used, old.cpu_usage, old.error_count, old.warning_count);
END;

CREATE TRIGGER sandtrail_execution_updated AFTER UPDATE ON sandbox_execution_logs BEGIN
  INSERT INTO sandtrail_journal VALUES (NULL, -1, NULL, old.id, old.user_id, old.strategy_id,
    old.created_at, old.success, old.timed_out, old.execution_time, old.memory_used, old.cpu_usage, old.error_count, old.warning_count);
  INSERT INTO sandtrail_journal VALUES (NULL, 1, NULL, new.id, new.user_id, new.strategy_id, new.created_at, new.success,
    new.timed_out, new.execution_time, new.memory_used, new.cpu_usage, new.error_count, new.warning_count);
END;

-- What is there already is folded like everything that comes.
INSERT INTO sandtrail_journal
SELECT NULL, 1, NULL, id, user_id, strategy_id, created_at, success, timed_out, execution_time, memory_used, cpu_usage,
  error_count, warning_count FROM sandbox_execution_logs;
