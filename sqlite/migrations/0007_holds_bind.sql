-- Holds bind executions whatever their owner is called later. A hold follows its
-- user or strategy when it is renamed, and keeps it from being deleted. Holds on
-- what is gone have neither; they are listed until they are removed.
DROP TRIGGER sandtrail_held_execution;
ALTER TABLE sandtrail_holds RENAME TO sandtrail_holds_before;
CREATE TABLE sandtrail_holds (
  id          INTEGER NOT NULL PRIMARY KEY,
  subject     TEXT NOT NULL CHECK (subject IN ('strategy', 'user')),
  subject_id  TEXT NOT NULL, -- as it was called when the hold was placed
  user_id     TEXT UNIQUE REFERENCES users (id) ON UPDATE CASCADE,
  strategy_id TEXT UNIQUE REFERENCES strategies (id) ON UPDATE CASCADE,
  reason      TEXT NOT NULL,
  created_by  TEXT NOT NULL,
  created_at  TEXT NOT NULL
) STRICT;
INSERT INTO sandtrail_holds (subject, subject_id, user_id, strategy_id, reason, created_by, created_at)
SELECT subject, subject_id,
  CASE subject WHEN 'user' THEN (SELECT id FROM users WHERE id = subject_id) END,
  CASE subject WHEN 'strategy' THEN (SELECT id FROM strategies WHERE id = subject_id) END,
  reason, created_by, created_at FROM sandtrail_holds_before;
DROP TABLE sandtrail_holds_before;

-- One row per execution that was held when it got another owner.
CREATE TABLE sandtrail_held_executions (
  execution_id TEXT NOT NULL,
  hold         INTEGER NOT NULL REFERENCES sandtrail_holds (id) ON DELETE CASCADE,
  PRIMARY KEY (execution_id, hold)
) STRICT, WITHOUT ROWID;
CREATE INDEX sandtrail_held_executions_hold ON sandtrail_held_executions (hold);

-- Every execution that a hold keeps.
CREATE VIEW sandtrail_held AS
SELECT e.id, e.rowid AS row FROM sandbox_execution_logs e
WHERE EXISTS (SELECT 1 FROM sandtrail_holds h WHERE h.user_id = e.user_id)
  OR EXISTS (SELECT 1 FROM sandtrail_holds h WHERE h.strategy_id = e.strategy_id)
  OR EXISTS (SELECT 1 FROM sandtrail_held_executions b WHERE b.execution_id = e.id);

-- Whoever deletes, and by whatever cascade.
CREATE TRIGGER sandtrail_held_execution BEFORE DELETE ON sandbox_execution_logs
WHEN EXISTS (SELECT 1 FROM sandtrail_held WHERE id = old.id)
BEGIN
  SELECT RAISE(ABORT, 'a legal hold keeps this execution');
END;

-- REPLACE deletes without that trigger where recursive triggers are off. An
-- INSERT that meets a held execution and inserts has replaced it.
CREATE TABLE sandtrail_held_met (execution_id TEXT NOT NULL) STRICT;
CREATE TRIGGER sandtrail_held_insert BEFORE INSERT ON sandbox_execution_logs
WHEN EXISTS (SELECT 1 FROM sandtrail_holds)
BEGIN
  DELETE FROM sandtrail_held_met;
  INSERT INTO sandtrail_held_met (execution_id) SELECT id FROM sandtrail_held WHERE id = new.id OR row = new.rowid;
END;
CREATE TRIGGER sandtrail_held_replaced AFTER INSERT ON sandbox_execution_logs
WHEN EXISTS (SELECT 1 FROM sandtrail_held_met) AND EXISTS (SELECT 1 FROM sandtrail_holds)
BEGIN
  SELECT RAISE(ABORT, 'a legal hold keeps the execution that this would replace');
END;

CREATE TRIGGER sandtrail_held_renumbered BEFORE UPDATE ON sandbox_execution_logs
WHEN (new.id <> old.id OR new.rowid <> old.rowid) AND EXISTS (SELECT 1 FROM sandtrail_holds)
  AND EXISTS (SELECT 1 FROM sandtrail_held WHERE id IN (old.id, new.id) OR row = new.rowid)
BEGIN
  SELECT RAISE(ABORT, 'a legal hold keeps the id of this execution');
END;

-- Held executions that get another owner are bound one by one.
CREATE TRIGGER sandtrail_held_moved BEFORE UPDATE OF user_id, strategy_id ON sandbox_execution_logs
WHEN new.user_id <> old.user_id OR new.strategy_id <> old.strategy_id
BEGIN
  INSERT INTO sandtrail_held_executions (execution_id, hold)
  SELECT old.id, h.id FROM sandtrail_holds h
  WHERE (h.user_id = old.user_id AND new.user_id <> old.user_id OR h.strategy_id = old.strategy_id AND new.strategy_id <> old.strategy_id)
    AND NOT EXISTS (SELECT 1 FROM sandtrail_held_executions b WHERE b.execution_id = old.id AND b.hold = h.id);
END;
