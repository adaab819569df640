-- Work that one of several servers does at a time, and when it is due.
CREATE TABLE sandtrail_agenda (
  work   TEXT NOT NULL PRIMARY KEY,
  due_at TEXT NOT NULL
) STRICT;

-- What is remembered about alert rules between evaluations.
CREATE TABLE sandtrail_alert_states (
  rule        TEXT NOT NULL PRIMARY KEY,
  firing      INTEGER NOT NULL CHECK (firing IN (0, 1)),
  since       TEXT NOT NULL,
  notified_at TEXT -- NULL: nobody has been told yet
) STRICT;
