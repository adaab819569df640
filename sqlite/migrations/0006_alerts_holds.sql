-- One row per change of an alert rule's state. The ids are UUIDv7, so their
-- order is that of time.
CREATE TABLE sandtrail_alert_events (
  id       TEXT NOT NULL PRIMARY KEY,
  at       TEXT NOT NULL,
  rule     TEXT NOT NULL,
  firing   INTEGER NOT NULL CHECK (firing IN (0, 1)),
  value    REAL, -- NULL: the metric of nothing
  message  TEXT NOT NULL,
  silenced INTEGER NOT NULL CHECK (silenced IN (0, 1))
) STRICT;

-- For forgetting what is old.
CREATE INDEX sandtrail_alert_events_at_idx ON sandtrail_alert_events (at);

-- One row per event and channel that was to be told of it.
CREATE TABLE sandtrail_alert_deliveries (
  event_id  TEXT NOT NULL REFERENCES sandtrail_alert_events (id) ON DELETE CASCADE,
  channel   TEXT NOT NULL,
  delivered INTEGER NOT NULL CHECK (delivered IN (0, 1)),
  attempts  INTEGER NOT NULL,
  at        TEXT NOT NULL, -- of the last attempt
  error     TEXT NOT NULL,
  PRIMARY KEY (event_id, channel)
) STRICT;

ALTER TABLE sandtrail_alert_states ADD COLUMN holds_since TEXT; -- the condition holds, not long enough yet
ALTER TABLE sandtrail_alert_states ADD COLUMN event_id TEXT;

CREATE TABLE sandtrail_silences (
  id         TEXT NOT NULL PRIMARY KEY,
  rule       TEXT NOT NULL, -- '': every rule
  reason     TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at TEXT NOT NULL,
  until      TEXT NOT NULL,
  ended_at   TEXT
) STRICT;

-- Users and strategies of whom nothing may be removed.
CREATE TABLE sandtrail_holds (
  subject    TEXT NOT NULL CHECK (subject IN ('strategy', 'user')),
  subject_id TEXT NOT NULL,
  reason     TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at TEXT NOT NULL,
  PRIMARY KEY (subject, subject_id)
) STRICT;

-- Whoever deletes, and by whatever cascade.
CREATE TRIGGER sandtrail_held_execution BEFORE DELETE ON sandbox_execution_logs
WHEN EXISTS (SELECT 1 FROM sandtrail_holds WHERE subject = 'user' AND subject_id = old.user_id)
  OR EXISTS (SELECT 1 FROM sandtrail_holds WHERE subject = 'strategy' AND subject_id = old.strategy_id)
BEGIN
  SELECT RAISE(ABORT, 'a legal hold keeps this execution');
END;
