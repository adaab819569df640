-- One row per execution that came (sign 1) or went (sign -1) and is not in the
-- roll-ups yet: an update is both. Writers append, Maintain folds. Without
-- any index, so that an append costs next to nothing; it stays small.
CREATE TABLE {schema}.journal (
    sign           smallint NOT NULL,
    reason         text, -- why it went, where somebody said so: 'retention'
    id             uuid NOT NULL,
    user_id        text COLLATE "C" NOT NULL,
    strategy_id    text COLLATE "C" NOT NULL,
    created_at     timestamptz(3) NOT NULL,
    success        boolean NOT NULL,
    timed_out      boolean NOT NULL,
    execution_time integer NOT NULL,
    memory_used    integer,
    cpu_usage      double precision,
    error_count    integer NOT NULL,
    warning_count  integer NOT NULL
);

-- One row per UTC day of everything (scope 0), a user (1) or a strategy (2)
-- that had executions then. The columns hold the encodings of package rollup.
CREATE TABLE {schema}.rollups (
    scope   smallint NOT NULL,
    key     text COLLATE "C" NOT NULL, -- '' for scope 0
    day     integer NOT NULL,          -- since 1970-01-01
    summary bytea NOT NULL,            -- the whole day
    slots   bytea NOT NULL,            -- its quarters of an hour
    PRIMARY KEY (scope, key, day)
);

-- Rankings read some days of all keys, retention all keys of some days.
CREATE INDEX ON {schema}.rollups (day, scope);

-- One row per subject: all of its stored executions.
CREATE TABLE {schema}.totals (
    scope smallint NOT NULL,
    key   text COLLATE "C" NOT NULL,
    cell  bytea NOT NULL,
    PRIMARY KEY (scope, key)
);

CREATE OR REPLACE FUNCTION {schema}.logs_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO {schema}.ids (id, created_at) SELECT id, created_at FROM inserted;
    INSERT INTO {schema}.journal
    SELECT 1, NULL, id, user_id, strategy_id, created_at, success, timed_out, execution_time, memory_used, cpu_usage,
        error_count, warning_count FROM inserted;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION {schema}.logs_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM {schema}.ids i USING deleted d WHERE i.id = d.id;
    INSERT INTO {schema}.journal
    SELECT -1, nullif(current_setting('sandtrail.reason', true), ''), id, user_id, strategy_id, created_at, success,
        timed_out, execution_time, memory_used, cpu_usage, error_count, warning_count FROM deleted;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION {schema}.logs_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM {schema}.ids i USING deleted d WHERE i.id = d.id;
    INSERT INTO {schema}.ids (id, created_at) SELECT id, created_at FROM inserted;
    INSERT INTO {schema}.journal
    SELECT -1, NULL, id, user_id, strategy_id, created_at, success, timed_out, execution_time, memory_used, cpu_usage,
        error_count, warning_count FROM deleted
    UNION ALL
    SELECT 1, NULL, id, user_id, strategy_id, created_at, success, timed_out, execution_time, memory_used, cpu_usage,
        error_count, warning_count FROM inserted;
    RETURN NULL;
END $$;

-- What is there already is folded like everything that comes. The lock keeps
-- writers from adding rows that neither this nor the new triggers see.
LOCK TABLE ONLY {logs} IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO {schema}.journal
SELECT 1, NULL, id, user_id, strategy_id, created_at, success, timed_out, execution_time, memory_used, cpu_usage,
    error_count, warning_count FROM {logs};
