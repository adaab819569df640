// Package remedy names the acts that mend errors.
package remedy

import "github.com/sandtrail/sandtrail"

// The acts.
const (
	Migrate     sandtrail.Act = "migrate"      // apply the store's migrations
	Verify      sandtrail.Act = "verify"       // compare the executions with the ledger
	Examine     sandtrail.Act = "examine"      // ask the store for its checks
	Deliver     sandtrail.Act = "deliver"      // deliver the executions in the outbox
	AddUser     sandtrail.Act = "add_user"     // add the user that Value names
	AddStrategy sandtrail.Act = "add_strategy" // add the strategy that Value names
	AddKey      sandtrail.Act = "add_key"      // make a key of the role that Value names
)
