package recorder

import (
	"slices"
	"strings"
)

// ownPrefixes begin the names of the variables with which Sandtrail is set up:
// addresses, keys and passwords of stores, buckets and collectors.
var ownPrefixes = []string{"SANDTRAIL_", "AWS_", "OTEL_"}

// ownVariables are those of PostgreSQL's clients. Not everything that begins
// with PG is theirs.
var ownVariables = strings.Fields(`
	PGAPPNAME PGCHANNELBINDING PGCONNECT_TIMEOUT PGDATABASE PGGSSENCMODE PGHOST PGHOSTADDR PGKRBSRVNAME
	PGMAXPROTOCOLVERSION PGMINPROTOCOLVERSION PGOPTIONS PGPASSFILE PGPASSWORD PGPORT PGREQUIREAUTH PGREQUIREPEER
	PGREQUIRESSL PGSERVICE PGSERVICEFILE PGSSLCERT PGSSLCERTMODE PGSSLCOMPRESSION PGSSLCRL PGSSLCRLDIR PGSSLKEY
	PGSSLMAXPROTOCOLVERSION PGSSLMINPROTOCOLVERSION PGSSLMODE PGSSLNEGOTIATION PGSSLPASSWORD PGSSLROOTCERT PGSSLSNI
	PGSYSCONFDIR PGTARGETSESSIONATTRS PGTZ PGUSER`)

// isOwn reports whether a variable ("NAME" or "NAME=value") is Sandtrail's own.
func isOwn(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return slices.Contains(ownVariables, name) ||
		slices.ContainsFunc(ownPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// Environment is the part of an environment that a command gets: all but the
// variables with which Sandtrail is set up (SANDTRAIL_*, AWS_*, OTEL_* and those
// of PostgreSQL's clients). Those that pass names are left in.
func Environment(environ, pass []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return isOwn(name) && !slices.Contains(pass, name)
	})
}
