package postgres

import (
	"slices"
	"strconv"

	"github.com/sandtrail/sandtrail"
)

// keyKind is what distinguishes the keys that an application gives its users
// and strategies.
type keyKind int

const (
	keyText keyKind = iota // text and varchar, as they are
	keyUUID
	keyInteger
)

func (o owner) kind() keyKind {
	switch o.Type {
	case "uuid":
		return keyUUID
	case "smallint", "integer", "bigint":
		return keyInteger
	}
	return keyText
}

// keyBits are the sizes of integer keys.
var keyBits = map[string]int{"smallint": 16, "integer": 32, "bigint": 64}

// canonical is an id as the column gives it back, false for what cannot be one
// of its ids at all.
func (o owner) canonical(id string) (string, bool) {
	switch o.kind() {
	case keyUUID:
		parsed, err := sandtrail.ParseID(id)
		if err != nil {
			return id, false
		}
		return parsed.String(), true
	case keyInteger:
		n, err := strconv.ParseInt(id, 10, keyBits[o.Type])
		if err != nil {
			return id, false
		}
		return strconv.FormatInt(n, 10), true
	}
	return id, true
}

// own is canonical for ids that are looked for: those that cannot be are left
// as they are, and not found.
func (o owner) own(id string) string {
	id, _ = o.canonical(id)
	return id
}

// canonicalFilter has the ids of a filter spelled as the columns spell them.
func (l *layout) canonicalFilter(f sandtrail.Filter) sandtrail.Filter {
	f.UserID, f.StrategyID = l.Users.own(f.UserID), l.Strategies.own(f.StrategyID)
	return f
}

// canonicalBatch is the batch with its owners spelled as their columns spell
// them.
func (l *layout) canonicalBatch(batch []sandtrail.Admitted) []sandtrail.Admitted {
	if l.Users.kind() == keyText && l.Strategies.kind() == keyText {
		return batch
	}
	batch = slices.Clone(batch)
	for i := range batch {
		e := &batch[i].Execution
		e.UserID, e.StrategyID = l.Users.own(e.UserID), l.Strategies.own(e.StrategyID)
	}
	return batch
}
