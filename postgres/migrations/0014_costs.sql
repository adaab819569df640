-- Roll-ups hold costs from here on. Every execution is counted anew, by way of
-- the journal, and the pending entries are taken back first: updates, which the
-- ledger passes over. Of older roll-ups only the retired records still count: a
-- first byte of 0 says so.
LOCK TABLE {schema}.journal IN SHARE ROW EXCLUSIVE MODE;
UPDATE {schema}.rollups SET summary = set_byte(summary, 0, 0), slots = set_byte(slots, 0, 0);
UPDATE {schema}.totals SET cell = '';
INSERT INTO {schema}.journal
SELECT -sign, 'update', id, user_id, strategy_id, created_at, success, timed_out, execution_time, memory_used, cpu_usage,
    error_count, warning_count FROM {schema}.journal;
DO $$ BEGIN
    -- Where Citus distributes the executions, the entries say which are counted.
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = '{schema}.ids'::regclass AND attname = 'user_id') THEN
        INSERT INTO {schema}.journal
        SELECT 1, 'update', id, user_id, strategy_id, created_at, success, timed_out, execution_time, memory_used, cpu_usage,
            error_count, warning_count FROM {schema}.ids i
        WHERE NOT EXISTS (SELECT FROM {schema}.dropped d WHERE i.created_at >= d.since AND i.created_at < d.until AND i.xid < d.xid);
    ELSE
        INSERT INTO {schema}.journal
        SELECT 1, 'update', id, user_id, strategy_id, created_at, success, timed_out, execution_time, memory_used, cpu_usage,
            error_count, warning_count FROM {logs};
    END IF;
END $$;
