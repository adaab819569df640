-- Executions and holds follow a renamed user or strategy, also where the client
-- leaves foreign_keys off. Where it does not, the cascade was there first.
CREATE TRIGGER sandtrail_user_followed AFTER UPDATE OF id ON users WHEN new.id <> old.id
BEGIN
  UPDATE sandtrail_holds SET user_id = new.id WHERE user_id = old.id;
  UPDATE sandbox_execution_logs SET user_id = new.id WHERE user_id = old.id;
END;
CREATE TRIGGER sandtrail_strategy_followed AFTER UPDATE OF id ON strategies WHEN new.id <> old.id
BEGIN
  UPDATE sandtrail_holds SET strategy_id = new.id WHERE strategy_id = old.id;
  UPDATE sandbox_execution_logs SET strategy_id = new.id WHERE strategy_id = old.id;
END;
