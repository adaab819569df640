-- Work that one of several servers does at a time, and when it is due.
CREATE TABLE {schema}.agenda (
    work   text PRIMARY KEY,
    due_at timestamptz(3) NOT NULL
);

-- What is remembered about alert rules between evaluations.
CREATE TABLE {schema}.alert_states (
    rule        text PRIMARY KEY,
    firing      boolean NOT NULL,
    since       timestamptz(3) NOT NULL,
    notified_at timestamptz(3) -- NULL: nobody has been told yet
);
