-- What another client could write and no reader could name: an id with dashes
-- in place of digits, or with more behind a NUL. It gets one that can be read.
CREATE TABLE sandtrail_malformed AS
SELECT id AS was, lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2)
    || '-a' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))) AS id
FROM (SELECT id FROM sandbox_execution_logs UNION SELECT execution_id FROM sandtrail_feed UNION SELECT id FROM sandtrail_ledger_removed)
WHERE length(replace(id, '-', '')) <> 32 OR length(CAST(id AS BLOB)) <> 36;
UPDATE sandbox_execution_logs SET id = (SELECT m.id FROM sandtrail_malformed m WHERE m.was = sandbox_execution_logs.id)
WHERE id IN (SELECT was FROM sandtrail_malformed);
UPDATE sandtrail_feed SET execution_id = (SELECT m.id FROM sandtrail_malformed m WHERE m.was = execution_id)
WHERE execution_id IN (SELECT was FROM sandtrail_malformed);
UPDATE sandtrail_ledger_removed SET id = (SELECT m.id FROM sandtrail_malformed m WHERE m.was = sandtrail_ledger_removed.id)
WHERE id IN (SELECT was FROM sandtrail_malformed);
DROP TABLE sandtrail_malformed;

-- Checks change nothing of what is stored, so that their text is edited, as
-- SQLite's documentation of ALTER TABLE describes: rows, indexes and triggers
-- stay as they are. An application may write success with timed_out, as it
-- could to the table it had before; our own ways in refuse that.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(replace(sql,
    'timed_out IN (0, 1) AND NOT (success AND timed_out)', 'timed_out IN (0, 1)'),
    'AND id NOT GLOB ''*[^0-9a-f-]*''', 'AND id NOT GLOB ''*[^0-9a-f-]*'' AND length(replace(id, ''-'', '''')) = 32 AND length(CAST(id AS BLOB)) = 36')
WHERE type = 'table' AND name = 'sandbox_execution_logs';
PRAGMA writable_schema = RESET;
