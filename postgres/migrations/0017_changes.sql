-- One feed of changes, for roll-ups and ledger: what were journal and ledger_queue.
-- A writer that waits for this lock meets the new triggers then.
LOCK TABLE ONLY {logs} IN SHARE ROW EXCLUSIVE MODE;

-- One row per execution that was inserted (sign 1) or deleted (sign -1), two per
-- update, until roll-ups and ledger have it. The transaction that reads it deletes it.
CREATE TABLE {schema}.changes (
    sign           smallint NOT NULL,
    reason         text, -- of a deletion; 'update': only the roll-ups take it; 'detached': its record is in a partition detached by hand
    id             uuid NOT NULL,
    user_id        text COLLATE "C" NOT NULL DEFAULT '',
    strategy_id    text COLLATE "C" NOT NULL DEFAULT '',
    created_at     timestamptz(3) NOT NULL,
    success        boolean NOT NULL DEFAULT false,
    timed_out      boolean NOT NULL DEFAULT false,
    execution_time integer NOT NULL DEFAULT 0,
    memory_used    integer,
    cpu_usage      double precision,
    error_count    integer NOT NULL DEFAULT 0,
    warning_count  integer NOT NULL DEFAULT 0,
    counted        boolean NOT NULL -- by the roll-ups: only the ledger takes it, which needs no figures
) PARTITION BY LIST (counted);

-- Without any index, so that an append costs next to nothing; it stays small.
ALTER TABLE {schema}.journal RENAME TO changes_pending;
ALTER TABLE {schema}.changes_pending ADD COLUMN counted boolean NOT NULL DEFAULT false;
ALTER TABLE {schema}.changes ATTACH PARTITION {schema}.changes_pending FOR VALUES IN (false);
-- Statistics do not read these: a partition that retention dropped leaves many.
CREATE TABLE {schema}.changes_counted PARTITION OF {schema}.changes (counted DEFAULT true) FOR VALUES IN (true);
CREATE INDEX changes_counted_id_idx ON {schema}.changes_counted (id);

INSERT INTO {schema}.changes_counted (sign, reason, id, created_at)
SELECT CASE WHEN removed THEN -1 ELSE 1 END, nullif(reason, ''), id, created_at FROM {schema}.ledger_queue ORDER BY seq;
DROP TABLE {schema}.ledger_queue;

CREATE OR REPLACE FUNCTION {schema}.logs_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO {schema}.ids (id, created_at) SELECT id, created_at FROM inserted;
    INSERT INTO {schema}.changes_pending
    SELECT 1, NULL, id, user_id, strategy_id, created_at, success, timed_out, execution_time, memory_used, cpu_usage,
        error_count, warning_count FROM inserted;
    RETURN NULL;
END $$;

-- In a cascade the owner is gone before the executions are.
CREATE OR REPLACE FUNCTION {schema}.logs_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM {schema}.ids i USING deleted d WHERE i.id = d.id;
    INSERT INTO {schema}.changes_pending
    SELECT -1, CASE
            WHEN current_setting('sandtrail.reason', true) <> '' THEN current_setting('sandtrail.reason', true)
            WHEN NOT EXISTS (SELECT FROM {users} o WHERE o.{users.id} = d.user_id) THEN 'user'
            WHEN NOT EXISTS (SELECT FROM {strategies} o WHERE o.{strategies.id} = d.strategy_id) THEN 'strategy'
        END, id, user_id, strategy_id, created_at, success,
        timed_out, execution_time, memory_used, cpu_usage, error_count, warning_count FROM deleted d;
    RETURN NULL;
END $$;

-- A changed execution keeps the transaction that wrote it, which followers have met.
-- In a cascade the owner has its new id before the executions have: that is a
-- rename. The id of an execution cannot change.
CREATE OR REPLACE FUNCTION {schema}.logs_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM deleted d WHERE NOT EXISTS (SELECT FROM inserted i WHERE i.id = d.id)) THEN
        RAISE EXCEPTION 'the id of an execution cannot change' USING ERRCODE = 'restrict_violation';
    END IF;
    INSERT INTO {schema}.ids AS i (id, created_at) SELECT id, created_at FROM inserted
    ON CONFLICT (id) DO UPDATE SET created_at = excluded.created_at WHERE i.created_at <> excluded.created_at;
    INSERT INTO {schema}.changes_pending
    SELECT -1, 'update', id, user_id, strategy_id, created_at, success, timed_out, execution_time, memory_used, cpu_usage,
        error_count, warning_count FROM deleted
    UNION ALL
    SELECT 1, 'update', id, user_id, strategy_id, created_at, success, timed_out, execution_time, memory_used, cpu_usage,
        error_count, warning_count FROM inserted;
    INSERT INTO {schema}.ledger_renamed (subject, former, renamed)
    SELECT DISTINCT 'user', d.user_id::text, i.user_id::text FROM deleted d JOIN inserted i USING (id)
    WHERE d.user_id <> i.user_id AND NOT EXISTS (SELECT FROM {users} o WHERE o.{users.id} = d.user_id)
    UNION ALL
    SELECT DISTINCT 'strategy', d.strategy_id::text, i.strategy_id::text FROM deleted d JOIN inserted i USING (id)
    WHERE d.strategy_id <> i.strategy_id AND NOT EXISTS (SELECT FROM {strategies} o WHERE o.{strategies.id} = d.strategy_id);
    RETURN NULL;
END $$;
