-- One row per execution that was inserted (sign 1) or deleted (sign -1), two per
-- update, in the order of the commits, until the roll-ups count it. It stays small,
-- so it has no index. No number is used again.
CREATE TABLE sandtrail_changes (
  seq            INTEGER PRIMARY KEY AUTOINCREMENT,
  sign           INTEGER NOT NULL,
  updated        INTEGER NOT NULL, -- 1: of an update, which the roll-ups alone count
  reason         TEXT, -- of a deletion
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

-- What is left of changes that the roll-ups count: deletions until the ledger has
-- them, insertions for followers.
CREATE TABLE sandtrail_counted (
  seq          INTEGER PRIMARY KEY,
  sign         INTEGER NOT NULL,
  execution_id TEXT NOT NULL,
  created_at   TEXT, -- of a deletion
  reason       TEXT  -- of a deletion
) STRICT;

-- All insertions and deletions that are kept: what ledger and followers read.
CREATE VIEW sandtrail_history AS
SELECT seq, sign, execution_id, created_at, reason FROM sandtrail_counted
UNION ALL SELECT seq, sign, execution_id, created_at, reason FROM sandtrail_changes WHERE NOT updated;

-- Up to which change the ledger has read, and up to which followers cannot read
-- any more. The roll-ups have read what is no longer in sandtrail_changes.
CREATE TABLE sandtrail_cursors (
  name TEXT NOT NULL PRIMARY KEY,
  seq  INTEGER NOT NULL
) STRICT;
INSERT INTO sandtrail_cursors (name, seq) VALUES ('ledger', 0), ('followers', 0);

-- What is pending for the ledger. Deletions come first: it asks what is stored
-- now. What was deleted and stored again has its new entry behind them.
INSERT INTO sandtrail_counted (sign, execution_id, created_at, reason)
SELECT -1, id, created_at, reason FROM sandtrail_ledger_removed ORDER BY seq;
INSERT INTO sandtrail_counted (sign, execution_id)
SELECT 1, id FROM sandbox_execution_logs WHERE id IN (SELECT id FROM sandtrail_ledger_removed)
  AND id NOT IN (SELECT execution_id FROM sandtrail_feed WHERE seq > (SELECT seq FROM sandtrail_ledger_sealed));
INSERT INTO sandtrail_counted (sign, execution_id)
SELECT 1, execution_id FROM sandtrail_feed WHERE seq > (SELECT seq FROM sandtrail_ledger_sealed) ORDER BY seq;

-- What is pending for the roll-ups, and for them alone.
INSERT INTO sqlite_sequence (name, seq) SELECT 'sandtrail_changes', coalesce(max(seq), 0) FROM sandtrail_counted;
INSERT INTO sandtrail_changes
SELECT NULL, sign, 1, reason, execution_id, user_id, strategy_id, created_at, success, timed_out, execution_time, memory_used,
  cpu_usage, error_count, warning_count FROM sandtrail_journal ORDER BY seq;

DROP TRIGGER sandtrail_execution_inserted;
DROP TRIGGER sandtrail_execution_deleted;
DROP TRIGGER sandtrail_execution_updated;
DROP TRIGGER sandtrail_ledger_execution_removed;
DROP TABLE sandtrail_journal;
DROP TABLE sandtrail_feed;
DROP TABLE sandtrail_ledger_removed;
DROP TABLE sandtrail_ledger_sealed;

CREATE TRIGGER sandtrail_execution_inserted AFTER INSERT ON sandbox_execution_logs BEGIN
  INSERT INTO sandtrail_changes VALUES (NULL, 1, 0, NULL, new.id, new.user_id, new.strategy_id, new.created_at, new.success,
    new.timed_out, new.execution_time, new.memory_used, new.cpu_usage, new.error_count, new.warning_count);
END;

-- In a cascade the owner is gone before the executions are.
CREATE TRIGGER sandtrail_execution_deleted AFTER DELETE ON sandbox_execution_logs BEGIN
  INSERT INTO sandtrail_changes VALUES (NULL, -1, 0, CASE
      WHEN EXISTS (SELECT 1 FROM sandtrail_reason) THEN (SELECT reason FROM sandtrail_reason)
      WHEN NOT EXISTS (SELECT 1 FROM users WHERE id = old.user_id) THEN 'user'
      WHEN NOT EXISTS (SELECT 1 FROM strategies WHERE id = old.strategy_id) THEN 'strategy'
      ELSE 'delete' END,
    old.id, old.user_id, old.strategy_id, old.created_at, old.success, old.timed_out, old.execution_time, old.memory_used,
    old.cpu_usage, old.error_count, old.warning_count);
END;

CREATE TRIGGER sandtrail_execution_updated AFTER UPDATE ON sandbox_execution_logs BEGIN
  INSERT INTO sandtrail_changes VALUES (NULL, -1, 1, NULL, old.id, old.user_id, old.strategy_id, old.created_at, old.success,
    old.timed_out, old.execution_time, old.memory_used, old.cpu_usage, old.error_count, old.warning_count);
  INSERT INTO sandtrail_changes VALUES (NULL, 1, 1, NULL, new.id, new.user_id, new.strategy_id, new.created_at, new.success,
    new.timed_out, new.execution_time, new.memory_used, new.cpu_usage, new.error_count, new.warning_count);
END;
