package postgres

import (
	"fmt"
	"slices"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/ownerkey"
	"github.com/sandtrail/sandtrail/rollup"
)

// key is the type of the ids.
func (o owner) key() ownerkey.Type { return ownerkey.Of(o.Type) }

// checkKey refuses an id that the column cannot hold.
func (o owner) checkKey(id string) error {
	if _, ok := o.key().Canonical(id); ok {
		return nil
	}
	return &sandtrail.Error{
		Code: sandtrail.CodeInvalid, Message: "invalid id",
		Fields: []sandtrail.FieldError{{Path: "id", Message: fmt.Sprintf("keys of %s are %s, got %q", o.qualified(), o.Type, id)}},
	}
}

// spell spells a user's and a strategy's id as their columns do.
func (l *layout) spell(userID, strategyID string) (user, strategy string) {
	return l.Users.key().Spell(userID), l.Strategies.key().Spell(strategyID)
}

func (l *layout) spellSubject(s rollup.Subject) rollup.Subject {
	key := l.Users.key()
	if s.Scope == rollup.Strategy {
		key = l.Strategies.key()
	}
	s.ID = key.Spell(s.ID)
	return s
}

func (l *layout) spellCutoff(c sandtrail.Cutoff) sandtrail.Cutoff {
	return c.Spell(l.Strategies.key().Spell)
}

func (l *layout) spellBatch(batch []sandtrail.Admitted) []sandtrail.Admitted {
	if l.Users.key() == ownerkey.Text && l.Strategies.key() == ownerkey.Text {
		return batch
	}
	batch = slices.Clone(batch)
	for i := range batch {
		e := &batch[i].Execution
		e.UserID, e.StrategyID = l.spell(e.UserID, e.StrategyID)
	}
	return batch
}
