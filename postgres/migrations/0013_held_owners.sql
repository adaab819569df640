-- Who deletes a held user or strategy is told so: the deletion reaches the hold,
-- which refuses it. Where Citus distributes the executions holds have no keys.
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_constraint WHERE conrelid = '{schema}.holds'::regclass AND conname = 'holds_user_id_fkey') THEN
        ALTER TABLE {schema}.holds
            DROP CONSTRAINT holds_user_id_fkey,
            DROP CONSTRAINT holds_strategy_id_fkey,
            ADD CONSTRAINT holds_user_id_fkey FOREIGN KEY (user_id) REFERENCES {users} ({users.id}) ON UPDATE CASCADE ON DELETE CASCADE,
            ADD CONSTRAINT holds_strategy_id_fkey FOREIGN KEY (strategy_id) REFERENCES {strategies} ({strategies.id}) ON UPDATE CASCADE ON DELETE CASCADE;
    END IF;
END $$;

CREATE FUNCTION {schema}.hold_outlived() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_trigger_depth() > 1 THEN -- in a cascade
        RAISE EXCEPTION 'a legal hold keeps the % %', OLD.subject, coalesce(OLD.user_id::text, OLD.strategy_id::text) USING ERRCODE = 'SHELD';
    END IF;
    RETURN OLD;
END $$;

CREATE TRIGGER hold_outlived BEFORE DELETE ON {schema}.holds
    FOR EACH ROW EXECUTE FUNCTION {schema}.hold_outlived();
