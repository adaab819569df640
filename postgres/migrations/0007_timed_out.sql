-- What was stopped at its deadline has not succeeded, whoever says so. Rows that
-- another tool wrote before stay as they are.
ALTER TABLE {logs} ADD CONSTRAINT sandbox_execution_logs_timed_out_check
    CHECK (NOT (success AND timed_out)) NOT VALID;
