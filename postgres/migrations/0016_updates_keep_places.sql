-- A changed execution keeps the transaction that wrote it: followers have met it.
CREATE OR REPLACE FUNCTION {schema}.logs_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM deleted d WHERE NOT EXISTS (SELECT FROM inserted i WHERE i.id = d.id)) THEN
        RAISE EXCEPTION 'the id of an execution cannot change' USING ERRCODE = 'restrict_violation';
    END IF;
    INSERT INTO {schema}.ids AS i (id, created_at) SELECT id, created_at FROM inserted
    ON CONFLICT (id) DO UPDATE SET created_at = excluded.created_at WHERE i.created_at <> excluded.created_at;
    INSERT INTO {schema}.journal
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
