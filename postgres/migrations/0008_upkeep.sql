-- Steps of upkeep that could not be done when they were last tried.
CREATE TABLE {schema}.upkeep (
    step  text PRIMARY KEY,
    since timestamptz(3) NOT NULL, -- of the first try that failed
    at    timestamptz(3) NOT NULL, -- of the last
    error text NOT NULL
);
