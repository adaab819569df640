-- Where the application keeps its users and strategies, made only where they
-- do not exist.
CREATE TABLE IF NOT EXISTS {users} (
    {users.id} text COLLATE "C" PRIMARY KEY,
    {users.email} text NOT NULL UNIQUE,
    {users.name} text
);

CREATE TABLE IF NOT EXISTS {strategies} (
    {strategies.id} text COLLATE "C" PRIMARY KEY,
    {strategies.name} text NOT NULL
);

-- One row per execution. The primary key begins with the user, so that it
-- serves a user's list and can be kept where rows are distributed by user.
CREATE TABLE {logs} (
    id             uuid NOT NULL DEFAULT gen_random_uuid(),
    user_id        {users.type} NOT NULL,
    strategy_id    {strategies.type} NOT NULL,
    execution_type text NOT NULL
        CONSTRAINT sandbox_execution_logs_execution_type_check CHECK (execution_type IN ('VALIDATION', 'TERMINAL')),
    success        boolean NOT NULL,
    execution_time integer NOT NULL
        CONSTRAINT sandbox_execution_logs_execution_time_check CHECK (execution_time >= 0),
    memory_used    integer
        CONSTRAINT sandbox_execution_logs_memory_used_check CHECK (memory_used >= 0),
    cpu_usage      double precision
        CONSTRAINT sandbox_execution_logs_cpu_usage_check CHECK (cpu_usage >= 0 AND cpu_usage < 'Infinity'),
    timed_out      boolean NOT NULL DEFAULT false,
    error_count    integer NOT NULL DEFAULT 0
        CONSTRAINT sandbox_execution_logs_error_count_check CHECK (error_count >= 0),
    warning_count  integer NOT NULL DEFAULT 0
        CONSTRAINT sandbox_execution_logs_warning_count_check CHECK (warning_count >= 0),
    classes_found  text,
    metadata       text,
    created_at     timestamptz(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
        CONSTRAINT sandbox_execution_logs_created_at_check CHECK (isfinite(created_at)),
    CONSTRAINT sandbox_execution_logs_pkey PRIMARY KEY (user_id, created_at, id),
    CONSTRAINT sandbox_execution_logs_user_id_fkey FOREIGN KEY (user_id)
        REFERENCES {users} ({users.id}) ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT sandbox_execution_logs_strategy_id_fkey FOREIGN KEY (strategy_id)
        REFERENCES {strategies} ({strategies.id}) ON DELETE CASCADE ON UPDATE CASCADE
) PARTITION BY RANGE (created_at);

-- A strategy's list, health and cascade.
CREATE INDEX sandbox_execution_logs_strategy_id_created_at_id_idx ON {logs} (strategy_id, created_at, id);
-- The list of everything, windows, trends, cleanup.
CREATE INDEX sandbox_execution_logs_created_at_id_idx ON {logs} (created_at, id);
-- The failed list, without a look at the successes.
CREATE INDEX sandbox_execution_logs_failures_idx ON {logs} (created_at, id) WHERE NOT success;
-- Access by id through other clients; ours finds the time in ids first.
CREATE INDEX sandbox_execution_logs_id_idx ON {logs} (id);

-- Rows that came from elsewhere with a time for which no partition existed.
CREATE TABLE {schema}.logs_default PARTITION OF {logs} DEFAULT;

-- One row per execution: makes the id unique across partitions and tells the
-- time, hence the partition, of each.
CREATE TABLE {schema}.ids (
    id         uuid PRIMARY KEY,
    created_at timestamptz(3) NOT NULL
);

-- The triggers run with their owner's rights: who may write executions needs
-- no rights on the tables derived from them.
CREATE FUNCTION {schema}.logs_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO {schema}.ids (id, created_at) SELECT id, created_at FROM inserted;
    RETURN NULL;
END $$;

CREATE FUNCTION {schema}.logs_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM {schema}.ids i USING deleted d WHERE i.id = d.id;
    RETURN NULL;
END $$;

CREATE FUNCTION {schema}.logs_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM {schema}.ids i USING deleted d WHERE i.id = d.id;
    INSERT INTO {schema}.ids (id, created_at) SELECT id, created_at FROM inserted;
    RETURN NULL;
END $$;

-- TRUNCATE passes no rows to triggers; deleting them first does.
CREATE FUNCTION {schema}.logs_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM {logs};
    RETURN NULL;
END $$;

CREATE TRIGGER sandtrail_inserted AFTER INSERT ON {logs}
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION {schema}.logs_inserted();
CREATE TRIGGER sandtrail_deleted AFTER DELETE ON {logs}
    REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION {schema}.logs_deleted();
CREATE TRIGGER sandtrail_updated AFTER UPDATE ON {logs}
    REFERENCING OLD TABLE AS deleted NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION {schema}.logs_updated();
CREATE TRIGGER sandtrail_truncated BEFORE TRUNCATE ON {logs}
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.logs_truncated();
