package storetest

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/sandtrail/sandtrail"
)

// held is what a hold is on.
type held struct {
	subject sandtrail.Subject
	id      string
}

// PutHold creates or replaces a hold.
func (m *Model) PutHold(ctx context.Context, h sandtrail.Hold) error {
	leave, err := m.enter(ctx)
	defer leave()
	if err != nil {
		return err
	}
	if err := h.Validate(); err != nil {
		return err
	}
	_, known := m.users[h.SubjectID]
	if h.Subject == sandtrail.Strategies {
		_, known = m.strategies[h.SubjectID]
	}
	if !known {
		return sandtrail.CodeNotFound
	}
	m.holds[held{h.Subject, h.SubjectID}] = h
	return nil
}

// Holds returns all holds.
func (m *Model) Holds(ctx context.Context) ([]sandtrail.Hold, error) {
	leave, err := m.enter(ctx)
	defer leave()
	if err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(m.holds), func(a, b sandtrail.Hold) int {
		return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.SubjectID, b.SubjectID))
	}), nil
}

// RemoveHold ends a hold.
func (m *Model) RemoveHold(ctx context.Context, subject sandtrail.Subject, id string) error {
	leave, err := m.enter(ctx)
	defer leave()
	if err != nil {
		return err
	}
	if _, known := m.holds[held{subject, id}]; !known {
		return sandtrail.CodeNotFound
	}
	delete(m.holds, held{subject, id})
	return nil
}

// HeldBefore counts the old executions that holds keep.
func (m *Model) HeldBefore(ctx context.Context, c sandtrail.Cutoff) (int64, error) {
	leave, err := m.enter(ctx)
	defer leave()
	if err != nil {
		return 0, err
	}
	return int64(len(m.newest(func(e sandtrail.Execution) bool { return isOld(c, e) && m.keepsExecution(e) }))), nil
}

func (m *Model) keepsExecution(e sandtrail.Execution) bool {
	_, user := m.holds[held{sandtrail.Users, e.UserID}]
	_, strategy := m.holds[held{sandtrail.Strategies, e.StrategyID}]
	return user || strategy
}

// keeps reports whether an owner is held or has executions that are.
func (m *Model) keeps(subject sandtrail.Subject, id string) bool {
	_, itself := m.holds[held{subject, id}]
	return itself || len(m.newest(func(e sandtrail.Execution) bool {
		of := e.UserID
		if subject == sandtrail.Strategies {
			of = e.StrategyID
		}
		return of == id && m.keepsExecution(e)
	})) > 0
}
