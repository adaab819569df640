-- The leaves that account for renamed users and strategies. The leaf commits to
-- the names that the opening holds; it is NULL when they are erased.
CREATE TABLE sandtrail_ledger_renames (
  leaf    INTEGER PRIMARY KEY,
  data    BLOB NOT NULL,
  opening BLOB
) STRICT;

-- One row per rename that is not in the log yet.
CREATE TABLE sandtrail_ledger_renamed (
  seq      INTEGER PRIMARY KEY,
  subject  TEXT NOT NULL CHECK (subject IN ('user', 'strategy')),
  former   TEXT NOT NULL,
  renamed  TEXT NOT NULL
) STRICT;

-- In a cascade the owner has its new id before the executions have. So an
-- update of executions alone is no rename.
CREATE TRIGGER sandtrail_ledger_user_renamed AFTER UPDATE OF user_id ON sandbox_execution_logs
WHEN new.user_id <> old.user_id AND NOT EXISTS (SELECT 1 FROM users WHERE id = old.user_id)
  AND NOT EXISTS (SELECT 1 FROM sandtrail_ledger_renamed WHERE seq = (SELECT max(seq) FROM sandtrail_ledger_renamed)
    AND subject = 'user' AND former = old.user_id AND renamed = new.user_id)
BEGIN
  INSERT INTO sandtrail_ledger_renamed (subject, former, renamed) VALUES ('user', old.user_id, new.user_id);
END;
CREATE TRIGGER sandtrail_ledger_strategy_renamed AFTER UPDATE OF strategy_id ON sandbox_execution_logs
WHEN new.strategy_id <> old.strategy_id AND NOT EXISTS (SELECT 1 FROM strategies WHERE id = old.strategy_id)
  AND NOT EXISTS (SELECT 1 FROM sandtrail_ledger_renamed WHERE seq = (SELECT max(seq) FROM sandtrail_ledger_renamed)
    AND subject = 'strategy' AND former = old.strategy_id AND renamed = new.strategy_id)
BEGIN
  INSERT INTO sandtrail_ledger_renamed (subject, former, renamed) VALUES ('strategy', old.strategy_id, new.strategy_id);
END;

CREATE TRIGGER sandtrail_id_changed BEFORE UPDATE OF id ON sandbox_execution_logs WHEN new.id <> old.id
BEGIN
  SELECT RAISE(ABORT, 'the id of an execution cannot change');
END;
