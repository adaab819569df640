// Package sandtrail is the domain of the audit trail for code sandboxes: the
// execution record and its rules, the people and strategies it belongs to,
// the questions asked of it, and the interfaces that a store answers them
// through.
//
// It imports nothing but the standard library. Stores live in
// sandtrail/sqlite and sandtrail/postgres, the client of a running server in
// sandtrail/client; all of them return this package's types and errors, so
// that a caller does not know which of them it talks to.
//
// An execution enters in two steps. A [Draft] is an execution as a program sent it; [Admission]
// applies every rule of the execution, in one place, and yields [Admitted]
// records; only those can be appended to a store.
package sandtrail
