-- Distributes the executions of a database over the workers of its Citus
-- cluster. What is derived from them stays on the coordinator: see
-- docs/decisions/citus.md.
SET LOCAL citus.multi_shard_modify_mode TO 'sequential';

-- Distributed tables have no triggers: the store does what these did.
DROP TRIGGER sandtrail_inserted ON {logs};
DROP TRIGGER sandtrail_deleted ON {logs};
DROP TRIGGER sandtrail_updated ON {logs};
DROP TRIGGER sandtrail_truncated ON {logs};
DROP TRIGGER sandtrail_held ON {logs};
DROP TRIGGER sandtrail_held_moved ON {logs};
-- Nor do rows of the coordinator follow those of reference tables.
ALTER TABLE {schema}.holds DROP CONSTRAINT holds_user_id_fkey, DROP CONSTRAINT holds_strategy_id_fkey;

-- An entry holds what was counted of its execution, so that a change by
-- somebody else can be found, and taken back.
ALTER TABLE {schema}.ids
    ADD COLUMN user_id        text COLLATE "C",
    ADD COLUMN strategy_id    text COLLATE "C",
    ADD COLUMN success        boolean,
    ADD COLUMN timed_out      boolean,
    ADD COLUMN execution_time integer,
    ADD COLUMN memory_used    integer,
    ADD COLUMN cpu_usage      double precision,
    ADD COLUMN error_count    integer,
    ADD COLUMN warning_count  integer;
UPDATE {schema}.ids i SET (user_id, strategy_id, success, timed_out, execution_time, memory_used, cpu_usage, error_count, warning_count)
    = (e.user_id, e.strategy_id, e.success, e.timed_out, e.execution_time, e.memory_used, e.cpu_usage, e.error_count, e.warning_count)
FROM {logs} e WHERE e.id = i.id AND e.created_at = i.created_at;
ALTER TABLE {schema}.ids
    ALTER COLUMN user_id SET NOT NULL,
    ALTER COLUMN strategy_id SET NOT NULL,
    ALTER COLUMN success SET NOT NULL,
    ALTER COLUMN timed_out SET NOT NULL,
    ALTER COLUMN execution_time SET NOT NULL,
    ALTER COLUMN error_count SET NOT NULL,
    ALTER COLUMN warning_count SET NOT NULL;
-- Reconciling goes through the entries in the order of time.
CREATE INDEX ids_created_at_idx ON {schema}.ids (created_at);

-- One row per partition dropped: the entries of its time that older
-- transactions wrote are still to be removed.
CREATE TABLE {schema}.dropped (
    since timestamptz(3) NOT NULL,
    until timestamptz(3) NOT NULL,
    xid   xid8 NOT NULL DEFAULT pg_current_xact_id()
);

-- Foreign keys are put on when all tables are where they belong. The user of an
-- execution says where it lies and cannot change.
ALTER TABLE {logs}
    DROP CONSTRAINT sandbox_execution_logs_user_id_fkey,
    DROP CONSTRAINT sandbox_execution_logs_strategy_id_fkey;
-- Workers send a varchar where a text is wanted.
ALTER TABLE {logs}
    ALTER COLUMN user_id TYPE {users.plain},
    ALTER COLUMN strategy_id TYPE {strategies.plain};
SELECT create_reference_table($${users}$$);
SELECT create_reference_table($${strategies}$$);
SELECT create_distributed_table($${logs}$$, 'user_id');
-- The copies that stay behind on the coordinator.
SELECT truncate_local_data_after_distributing_table($${logs}$$);
ALTER TABLE {logs} ADD CONSTRAINT sandbox_execution_logs_user_id_fkey FOREIGN KEY (user_id)
    REFERENCES {users} ({users.id}) ON DELETE CASCADE;
ALTER TABLE {logs} ADD CONSTRAINT sandbox_execution_logs_strategy_id_fkey FOREIGN KEY (strategy_id)
    REFERENCES {strategies} ({strategies.id}) ON DELETE CASCADE ON UPDATE CASCADE;
