-- Which pages can hold the leaf of a record of a time: by their ranges, since
-- by their beginnings half of all pages would be looked through for each proof.
CREATE INDEX ledger_pages_times_idx ON {schema}.ledger_pages USING gist (tstzrange(since, until, '[]')) WHERE since IS NOT NULL;
DROP INDEX {schema}.ledger_pages_since_until_idx;
