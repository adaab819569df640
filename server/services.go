package server

import (
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/follow"
)

// services is what a store keeps besides executions and their owners. A field is nil
// where it keeps none.
type services struct {
	keys      auth.Keyring
	accessLog auth.AccessLog
	follower  follow.Follower
	ledger    database.LedgerKeeper // its state is on the metrics page
	alerts    Alerts
	examiner  Examiner
}

func servicesOf(store any) (s services) {
	s.keys, _ = store.(auth.Keyring)
	s.accessLog, _ = store.(auth.AccessLog)
	s.follower, _ = store.(follow.Follower)
	s.ledger, _ = store.(database.LedgerKeeper)
	s.alerts, _ = store.(Alerts)
	s.examiner, _ = store.(Examiner)
	return s
}
