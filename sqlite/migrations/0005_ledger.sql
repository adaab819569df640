-- What happened to executions, when and why, so that it can be proved: see
-- docs/integrity.md. Nothing cascades into these tables.

-- The hashes of the log, in tiles of up to 256. Level 0 has one per leaf, the
-- levels above one per full tile of the level below.
CREATE TABLE sandtrail_ledger_tiles (
  level  INTEGER NOT NULL,
  n      INTEGER NOT NULL,
  hashes BLOB NOT NULL,
  PRIMARY KEY (level, n)
) STRICT;

-- What is kept of 256 leaves beside their hashes: ids, salts, checks. By the
-- times of the records in a page the leaf of one is found.
CREATE TABLE sandtrail_ledger_pages (
  n       INTEGER PRIMARY KEY,
  since   TEXT,
  until   TEXT,
  entries BLOB NOT NULL
) STRICT;
CREATE INDEX sandtrail_ledger_pages_since_until_idx ON sandtrail_ledger_pages (since, until);

-- The leaves that account for removed executions.
CREATE TABLE sandtrail_ledger_removals (
  leaf INTEGER PRIMARY KEY,
  data BLOB NOT NULL
) STRICT;

-- Signed commitments to the log.
CREATE TABLE sandtrail_ledger_checkpoints (
  id     INTEGER PRIMARY KEY AUTOINCREMENT,
  size   INTEGER NOT NULL,
  at     TEXT NOT NULL,
  signed TEXT NOT NULL
) STRICT;

-- The newest checkpoint of each other log that this one is a witness of.
CREATE TABLE sandtrail_ledger_witnessed (
  origin TEXT PRIMARY KEY,
  signed TEXT NOT NULL,
  at     TEXT NOT NULL
) STRICT;

-- How comparing the executions with the log came out. It is what the operator
-- says: who wants to know compares again.
CREATE TABLE sandtrail_ledger_verifications (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  at       TEXT NOT NULL,
  records  INTEGER NOT NULL,
  findings INTEGER NOT NULL
) STRICT;

-- How far the log has taken in the feed, by which it learns what came.
CREATE TABLE sandtrail_ledger_sealed (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  seq  INTEGER NOT NULL
) STRICT;
INSERT INTO sandtrail_ledger_sealed (only, seq) VALUES (1, 0);

-- Executions from before the feed, or cut from it, are sealed as if they came now.
INSERT INTO sandtrail_feed (execution_id)
SELECT id FROM sandbox_execution_logs WHERE id NOT IN (SELECT execution_id FROM sandtrail_feed) ORDER BY created_at, id;

-- One row per execution that went and whose removal is not in the log yet.
CREATE TABLE sandtrail_ledger_removed (
  seq        INTEGER PRIMARY KEY,
  id         TEXT NOT NULL,
  created_at TEXT NOT NULL,
  reason     TEXT NOT NULL
) STRICT;

-- In a cascade the owner is gone before the executions are.
CREATE TRIGGER sandtrail_ledger_execution_removed AFTER DELETE ON sandbox_execution_logs BEGIN
  INSERT INTO sandtrail_ledger_removed (id, created_at, reason) VALUES (old.id, old.created_at, CASE
    WHEN EXISTS (SELECT 1 FROM sandtrail_reason) THEN (SELECT reason FROM sandtrail_reason)
    WHEN NOT EXISTS (SELECT 1 FROM users WHERE id = old.user_id) THEN 'user'
    WHEN NOT EXISTS (SELECT 1 FROM strategies WHERE id = old.strategy_id) THEN 'strategy'
    ELSE 'delete' END);
END;
