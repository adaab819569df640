package main

import (
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/internal/intake"
)

// How many bytes are read of the files that the caller names; one that has more is
// refused.
const (
	maxSigned   = 1 << 20                    // a checkpoint or a manifest
	maxReceipt  = 8 << 20                    // a receipt
	maxRules    = 1 << 20                    // the file of alert rules
	maxBegun    = 64 << 10                   // what an export was begun with
	maxPEM      = 1 << 20                    // a chain of certificates, or a private key
	maxExported = 16 * intake.MaxRecordBytes // a line of an export, also of executions from other programs
)

// readSigned reads a checkpoint or a manifest.
func readSigned(path inFile) ([]byte, error) {
	signed, err := durable.ReadNamed(string(path), maxSigned)
	return signed, invalid(err)
}
