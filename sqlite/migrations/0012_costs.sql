-- Roll-ups hold costs from here on. Every execution is counted anew, by way of
-- the journal, and the pending entries are taken back first. Of older roll-ups
-- only the retired records still count: a first byte of 0 says so.
UPDATE sandtrail_rollups SET summary = unhex('00' || substr(hex(summary), 3)), slots = unhex('00' || substr(hex(slots), 3));
UPDATE sandtrail_totals SET cell = x'';
INSERT INTO sandtrail_journal
SELECT NULL, -sign, NULL, execution_id, user_id, strategy_id, created_at, success, timed_out, execution_time, memory_used,
  cpu_usage, error_count, warning_count FROM sandtrail_journal;
INSERT INTO sandtrail_journal
SELECT NULL, 1, NULL, id, user_id, strategy_id, created_at, success, timed_out, execution_time, memory_used, cpu_usage,
  error_count, warning_count FROM sandbox_execution_logs;
