-- API keys. The secret is not here, only its SHA-256.
CREATE TABLE sandtrail_keys (
  id           TEXT NOT NULL PRIMARY KEY,
  name         TEXT NOT NULL,
  role         TEXT NOT NULL CHECK (role IN ('ingest', 'read', 'auditor', 'admin')),
  user_id      TEXT, -- sees this user's records alone; the user need not exist yet
  hash         BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
  created_at   TEXT NOT NULL,
  expires_at   TEXT,
  last_used_at TEXT,
  revoked_at   TEXT
) STRICT;

-- One row per administrative act, export or denied attempt. The ids are
-- UUIDv7, so their order is that of time.
CREATE TABLE sandtrail_access_log (
  id      TEXT NOT NULL PRIMARY KEY,
  at      TEXT NOT NULL,
  key_id  TEXT,
  actor   TEXT NOT NULL,
  action  TEXT NOT NULL,
  object  TEXT NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('allowed', 'denied')),
  detail  TEXT NOT NULL,
  remote  TEXT NOT NULL
) STRICT;

-- The order in which executions were written, for readers that follow them.
-- A number is never used again; that of the log's own rows is, and VACUUM
-- changes it.
CREATE TABLE sandtrail_feed (
  seq          INTEGER PRIMARY KEY AUTOINCREMENT,
  execution_id TEXT NOT NULL
) STRICT;

-- Followers who fall behind further than this must begin anew.
CREATE TRIGGER sandtrail_feed_execution AFTER INSERT ON sandbox_execution_logs BEGIN
  INSERT INTO sandtrail_feed (execution_id) VALUES (new.id);
  DELETE FROM sandtrail_feed WHERE seq = last_insert_rowid() - 1000000;
END;
