-- One row per change of an alert rule's state. The ids are UUIDv7, so their
-- order is that of time.
CREATE TABLE {schema}.alert_events (
    id       uuid PRIMARY KEY,
    at       timestamptz(3) NOT NULL,
    rule     text NOT NULL,
    firing   boolean NOT NULL,
    value    double precision, -- NULL: the metric of nothing
    message  text NOT NULL,
    silenced boolean NOT NULL
);

-- For forgetting what is old.
CREATE INDEX alert_events_at_idx ON {schema}.alert_events (at);

-- One row per event and channel that was to be told of it.
CREATE TABLE {schema}.alert_deliveries (
    event_id  uuid NOT NULL REFERENCES {schema}.alert_events (id) ON DELETE CASCADE,
    channel   text COLLATE "C" NOT NULL,
    delivered boolean NOT NULL,
    attempts  integer NOT NULL,
    at        timestamptz(3) NOT NULL, -- of the last attempt
    error     text NOT NULL,
    PRIMARY KEY (event_id, channel)
);

ALTER TABLE {schema}.alert_states
    ADD COLUMN holds_since timestamptz(3), -- the condition holds, not long enough yet
    ADD COLUMN event_id    uuid;

CREATE TABLE {schema}.silences (
    id         uuid PRIMARY KEY,
    rule       text NOT NULL, -- '': every rule
    reason     text NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz(3) NOT NULL,
    until      timestamptz(3) NOT NULL,
    ended_at   timestamptz(3)
);

-- Users and strategies of whom nothing may be removed.
CREATE TABLE {schema}.holds (
    subject    text NOT NULL CHECK (subject IN ('strategy', 'user')),
    subject_id text COLLATE "C" NOT NULL,
    reason     text NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz(3) NOT NULL,
    PRIMARY KEY (subject, subject_id)
);

-- Whoever deletes, and by whatever cascade. The lock makes who places a hold
-- wait for removals under way, and removals that come later see it.
CREATE FUNCTION {schema}.logs_held() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    LOCK TABLE {schema}.holds IN ROW SHARE MODE;
    IF EXISTS (SELECT FROM deleted d JOIN {schema}.holds h ON h.subject = 'user' AND h.subject_id = d.user_id::text)
        OR EXISTS (SELECT FROM deleted d JOIN {schema}.holds h ON h.subject = 'strategy' AND h.subject_id = d.strategy_id::text)
    THEN
        RAISE EXCEPTION 'a legal hold keeps executions that this would delete' USING ERRCODE = 'SHELD';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER sandtrail_held AFTER DELETE ON {logs}
    REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION {schema}.logs_held();
