-- Three-character pieces of metadata, by the millisecond of the executions: a
-- row's id is created_at in milliseconds since 1970, so that its order is that of
-- lists and no VACUUM changes it. It only names candidates; it holds no text.
CREATE VIRTUAL TABLE sandtrail_text USING fts5(metadata, content = '', contentless_delete = 1, detail = none, tokenize = 'trigram');

-- The milliseconds whose executions came, changed or went since the index took
-- them in. Upkeep takes them in: that costs ten times an append, and triggers that
-- wrote the index would fail in clients whose SQLite has no FTS5.
CREATE TABLE sandtrail_text_due (
  created_at TEXT NOT NULL PRIMARY KEY,
  crowded    INTEGER NOT NULL DEFAULT 0 -- has more text than the index takes; searches read its executions
) STRICT, WITHOUT ROWID;

-- Executions before since are not in the index yet, nor due: searches read them.
CREATE TABLE sandtrail_text_state (
  only    INTEGER PRIMARY KEY CHECK (only = 1),
  since   TEXT NOT NULL, -- '~': none is; '0': all are, but those before the year 0
  rewrite INTEGER NOT NULL DEFAULT 0 -- pieces of what is gone remain in the index: 1, until it is rewritten, 2
) STRICT;
INSERT INTO sandtrail_text_state (only, since)
VALUES (1, CASE WHEN EXISTS (SELECT 1 FROM sandbox_execution_logs) THEN '~' ELSE '0' END);

CREATE TRIGGER sandtrail_text_inserted AFTER INSERT ON sandbox_execution_logs
WHEN new.metadata IS NOT NULL
BEGIN
  INSERT INTO sandtrail_text_due (created_at) SELECT new.created_at
  WHERE NOT EXISTS (SELECT 1 FROM sandtrail_text_due WHERE created_at = new.created_at);
END;

CREATE TRIGGER sandtrail_text_deleted AFTER DELETE ON sandbox_execution_logs
WHEN old.metadata IS NOT NULL
BEGIN
  UPDATE sandtrail_text_due SET crowded = 0 WHERE created_at = old.created_at AND crowded;
  INSERT INTO sandtrail_text_due (created_at) SELECT old.created_at
  WHERE NOT EXISTS (SELECT 1 FROM sandtrail_text_due WHERE created_at = old.created_at);
END;

CREATE TRIGGER sandtrail_text_updated AFTER UPDATE OF metadata, created_at ON sandbox_execution_logs
WHEN new.metadata IS NOT old.metadata OR new.created_at <> old.created_at
BEGIN
  UPDATE sandtrail_text_due SET crowded = 0 WHERE created_at = old.created_at AND crowded;
  INSERT INTO sandtrail_text_due (created_at) SELECT old.created_at
  WHERE NOT EXISTS (SELECT 1 FROM sandtrail_text_due WHERE created_at = old.created_at);
  INSERT INTO sandtrail_text_due (created_at) SELECT new.created_at
  WHERE NOT EXISTS (SELECT 1 FROM sandtrail_text_due WHERE created_at = new.created_at);
END;
