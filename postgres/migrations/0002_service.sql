-- API keys. The secret is not here, only its SHA-256.
CREATE TABLE {schema}.keys (
    id           uuid PRIMARY KEY,
    name         text NOT NULL,
    role         text NOT NULL CHECK (role IN ('ingest', 'read', 'auditor', 'admin')),
    user_id      text, -- sees this user's records alone; the user need not exist yet
    hash         bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    created_at   timestamptz(3) NOT NULL,
    expires_at   timestamptz(3),
    last_used_at timestamptz(3),
    revoked_at   timestamptz(3)
);

-- One row per administrative act, export or denied attempt. The ids are
-- UUIDv7, so their order is that of time.
CREATE TABLE {schema}.access_log (
    id      uuid PRIMARY KEY,
    at      timestamptz(3) NOT NULL,
    key_id  uuid,
    actor   text NOT NULL,
    action  text NOT NULL,
    object  text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('allowed', 'denied')),
    detail  text NOT NULL,
    remote  text NOT NULL
);

-- The transaction that wrote each execution. Readers that follow the log ask
-- for those whose transaction their last snapshot did not see, which finds
-- late commits as well.
ALTER TABLE {schema}.ids ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX ids_xid_idx ON {schema}.ids (xid);
