package database

import (
	"fmt"
	"strings"

	"github.com/sandtrail/sandtrail"
)

// Oddities counts executions with values that the table takes from other
// clients and no way in of ours does. Every question answers with them.
type Oddities struct {
	Contradictory int64 // success and timedOut; counted as successes
	Times         int64 // createdAt outside of the years 1 to 9999
	ZeroIDs       int64 // the id is all zero
	Infinite      int64 // cpuUsage is infinite; read as not measured
	Costless      int64 // cpuUsage is finite and above MaxCPUUsage, also through our own ways in
}

// Check is the line of doctor. Oddities are no fault of the database.
func (o Oddities) Check() Check {
	var found []string
	for _, odd := range []struct {
		n    int64
		what string
	}{
		{o.Contradictory, "say both success and timedOut, and count as successes"},
		{o.Times, "are not of the years 1 to 9999"},
		{o.ZeroIDs, "have an id of zeros"},
		{o.Infinite, "have an infinite cpuUsage, read as not measured"},
	} {
		if odd.n > 0 {
			found = append(found, fmt.Sprintf("%d %s", odd.n, odd.what))
		}
	}
	c := Check{Name: "values", OK: true, Detail: "no execution has a value that sandtrail would refuse"}
	if len(found) > 0 {
		c.Detail = "executions that another client wrote: " + strings.Join(found, "; ")
	}
	if o.Costless > 0 {
		c.Detail += fmt.Sprintf("; %d with a cpuUsage above %.0f %%, which no sum of CPU seconds counts", o.Costless, sandtrail.MaxCPUUsage)
	}
	return c
}
