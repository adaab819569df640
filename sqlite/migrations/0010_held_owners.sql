-- A held user or strategy without executions was kept by the foreign key of
-- the hold alone, whose message does not say why.
CREATE TRIGGER sandtrail_held_user BEFORE DELETE ON users
WHEN EXISTS (SELECT 1 FROM sandtrail_holds WHERE user_id = old.id)
BEGIN
  SELECT RAISE(ABORT, 'a legal hold keeps this user');
END;
CREATE TRIGGER sandtrail_held_strategy BEFORE DELETE ON strategies
WHEN EXISTS (SELECT 1 FROM sandtrail_holds WHERE strategy_id = old.id)
BEGIN
  SELECT RAISE(ABORT, 'a legal hold keeps this strategy');
END;
