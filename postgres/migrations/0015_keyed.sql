-- Whether keys were ever made, for servers that are open without: deleting all
-- rows of keys, in whatever way, does not change it. settings.keyed is true from
-- the first key on, false once sandtrail keys open was called since.
CREATE FUNCTION {schema}.note_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO {schema}.settings (name, value) VALUES ('keyed', 'true') ON CONFLICT (name) DO UPDATE SET value = 'true';
    RETURN NULL;
END $$;
CREATE TRIGGER sandtrail_note_key AFTER INSERT ON {schema}.keys FOR EACH ROW EXECUTE FUNCTION {schema}.note_key();
-- Keys that are gone already are known by the access log.
INSERT INTO {schema}.settings (name, value) SELECT 'keyed', 'true'
WHERE EXISTS (SELECT FROM {schema}.keys) OR EXISTS (SELECT FROM {schema}.access_log WHERE action = 'create key' AND outcome = 'allowed')
ON CONFLICT (name) DO NOTHING;
