package storetest

// ForeignTables are an application's own users and strategies, made before
// Sandtrail migrates, with columns that may be NULL.
var ForeignTables = []string{
	"CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT UNIQUE, name TEXT)",
	"CREATE TABLE strategies (id TEXT PRIMARY KEY, name TEXT)",
}

// ForeignSQLite is another client of a SQLite file. Its connection is a single
// one that has foreign keys off, as they are by default.
func ForeignSQLite(exec func(statement string) error) ForeignWriter {
	return ForeignWriter{
		Exec: exec,
		Values: map[string][]string{
			"cpu_usage":   {"9e999"},
			"metadata":    {`'{"a":"' || CAST(x'ff' AS TEXT) || '"}'`, "CAST(x'fe' AS TEXT)", "'a' || char(0) || 'b'"},
			"created_at":  {"'-4713-11-24 12:00:00.000'", "'-1000-12-31 12:00:00.000'", "'0000-01-01 00:00:00.000'"},
			"user_id":     {quoted(OrphanKey)},
			"strategy_id": {quoted(OrphanKey)},
		},
		Refused: map[string][]string{
			"id": {
				"'------------------------------------'", "'019AC000-0000-0000-0000-000000000002'", "'019ac000-0000-0000-0000-000000000003' || char(0) || 'x'",
				"'019ac000-0000-0000-0000-000000000-000004'",
			},
			"created_at": {"'10000-01-01 00:00:00.000'", "'2026-11-24'", "'now'"},
		},
		Orphans: true,
	}
}

// ForeignPostgres is another client of a PostgreSQL database. Its connection is
// a single one whose time zone is UTC.
func ForeignPostgres(exec func(statement string) error) ForeignWriter {
	return ForeignWriter{
		Exec: exec,
		Values: map[string][]string{
			"created_at": {
				"'4713-01-01 00:00:00 BC'", "'0044-03-15 12:00:00 BC'", "'10000-01-01 00:00:00'", "'294276-12-31 23:59:59.999'",
				"to_timestamp(1764500000000)", "'2026-11-24 11:00:00.123456'",
			},
		},
		Refused: map[string][]string{
			"cpu_usage":   {"'Infinity'", "'NaN'", "-1"},
			"created_at":  {"'infinity'", "'-infinity'"},
			"user_id":     {quoted(OrphanKey)},
			"strategy_id": {quoted(OrphanKey)},
		},
	}
}
