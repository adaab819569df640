package storetest

import (
	"crypto/rand"
	"encoding/json"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/ledger"
)

// verify expects no finding, and a receipt for every sealed record.
func (f *foreign) verify(rows int) {
	f.Helper()
	sum, err := ledger.VerifyLog(f.Context(), f.store, ledger.Verification{
		Report: func(finding ledger.Finding) { f.Errorf("%s: verify: %+v", f.when, finding) },
	})
	if f.check("verify", err); sum.Intact+sum.Unsealed != int64(rows) {
		f.Errorf("%s: verify: %d records are intact and %d unsealed, of %d", f.when, sum.Intact, sum.Unsealed, rows)
	}
	if sum.Intact == 0 {
		return
	}
	if f.keys.Public() == nil {
		var err error
		f.keys, err = ledger.GenerateKeys(rand.Reader, "example.com/audit")
		f.check("keys", err)
	}
	service := ledger.Service{Log: f.store, Keys: f.keys}
	for _, e := range f.walk(sandtrail.Query{Limit: 1000}) {
		receipt, err := service.Receipt(f.Context(), e, f.now)
		f.check("receipt", err)
		raw, err := json.Marshal(receipt)
		f.check("receipt", err)
		_, _, err = ledger.VerifyReceipt(raw, f.keys.Verifiers)
		f.check("verify a receipt of "+e.ID.String(), err)
	}
}
