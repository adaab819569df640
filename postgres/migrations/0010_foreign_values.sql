-- An application may write success with timed_out, as it could to the table it
-- had before. Our own ways in refuse that, and statistics count by success.
ALTER TABLE {logs} DROP CONSTRAINT IF EXISTS sandbox_execution_logs_timed_out_check;
