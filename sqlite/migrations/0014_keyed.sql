-- Whether keys were ever made, for servers that are open without: deleting all
-- rows of keys does not change it. 1 from the first key on, 0 once sandtrail keys
-- open was called since.
CREATE TABLE sandtrail_keyed (
  one   INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  keyed INTEGER NOT NULL
) STRICT;
-- Keys that are gone already are known by the access log.
INSERT INTO sandtrail_keyed SELECT 1, EXISTS (SELECT 1 FROM sandtrail_keys)
  OR EXISTS (SELECT 1 FROM sandtrail_access_log WHERE action = 'create key' AND outcome = 'allowed');
CREATE TRIGGER sandtrail_note_key AFTER INSERT ON sandtrail_keys BEGIN
  UPDATE sandtrail_keyed SET keyed = 1 WHERE keyed = 0;
END;
