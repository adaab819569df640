// Package ledger proves that no execution record was edited, inserted or
// silently removed: docs/integrity.md says what that means and what it does
// not. It is pure: bytes in, bytes out; stores keep the bytes, and a receipt
// is checked without any store.
//
// The ledger is an append-only log of ledger entries, hashed into a tree as RFC 6962
// lays down. A ledger entry is either an execution, hashed together with a random salt, or
// a removal: when, why and by whom which records were removed. The tree's
// hashes survive the executions; the salts do not, so that what remains of a
// removed record says nothing about it.
//
// [SealChanges] enters a store's changes into its [Book]. [Keys]
// sign [Checkpoint]s. A [Service] hands out checkpoints, proofs and [Receipt]s,
// and [Verify] compares a whole store with its ledger and classifies every
// difference.
package ledger
