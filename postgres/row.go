package postgres

import (
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// logColumns are the columns of the executions table in the order in which
// row functions read and write them.
var logColumns = []string{
	"id", "user_id", "strategy_id", "execution_type", "success", "execution_time", "memory_used", "cpu_usage",
	"timed_out", "error_count", "warning_count", "classes_found", "metadata", "created_at",
}

// selectLogs reads logColumns of the table called e.
const selectLogs = `e.id, e.user_id::text, e.strategy_id::text, e.execution_type, e.success, e.execution_time, e.memory_used,
	e.cpu_usage, e.timed_out, e.error_count, e.warning_count, e.classes_found, e.metadata, e.created_at`

// scanLogs reads selectLogs.
func scanLogs(row pgx.CollectableRow) (sandtrail.Execution, error) {
	return scanWith(row)
}

// scanWith reads selectLogs and what else the query selects behind it.
func scanWith(row pgx.CollectableRow, more ...any) (e sandtrail.Execution, err error) {
	var metadata *string
	err = scanInto(row, &e, &metadata, more...)
	e.Metadata = database.MetadataFromColumn(metadata)
	return e, err
}

// scanRaw reads selectLogs, the metadata as in the column.
func scanRaw(row pgx.CollectableRow) (e sandtrail.Execution, err error) {
	err = scanInto(row, &e, (*[]byte)(&e.Metadata))
	return e, err
}

func scanInto(row pgx.CollectableRow, e *sandtrail.Execution, metadata any, more ...any) error {
	var classes *string
	err := row.Scan(append([]any{
		(*[16]byte)(&e.ID), &e.UserID, &e.StrategyID, &e.Type, &e.Success, &e.ExecutionTime, &e.MemoryUsed,
		&e.CPUUsage, &e.TimedOut, &e.ErrorCount, &e.WarningCount, &classes, metadata, &e.CreatedAt,
	}, more...)...)
	e.Classes = sandtrail.SplitClasses(classes)
	e.CreatedAt = e.CreatedAt.UTC()
	return err
}

// scanOwned reads an execution with its user and strategy.
func scanOwned(row pgx.CollectableRow) (sandtrail.Execution, error) {
	var user sandtrail.User
	var strategy sandtrail.Strategy
	e, err := scanWith(row, &user.Email, &user.Name, &strategy.Name)
	user.ID, strategy.ID = e.UserID, e.StrategyID
	e.User, e.Strategy = &user, &strategy
	return e, err
}

// logValues are an execution's logColumns.
func logValues(e sandtrail.Execution) []any {
	return []any{
		[16]byte(e.ID), e.UserID, e.StrategyID, string(e.Type), e.Success, int32(e.ExecutionTime), int32Ptr(e.MemoryUsed), e.CPUUsage,
		e.TimedOut, int32(e.ErrorCount), int32(e.WarningCount), database.JoinClasses(e.Classes), textOf(e.Metadata), e.CreatedAt,
	}
}

// logArrays are the logColumns of executions, an array each.
func logArrays(list []sandtrail.Execution) []any {
	arrays := make([][]any, len(logColumns))
	for _, e := range list {
		for column, value := range logValues(e) {
			arrays[column] = append(arrays[column], value)
		}
	}
	args := make([]any, len(arrays))
	for column, array := range arrays {
		args[column] = array
	}
	return args
}

func int32Ptr(n *int) *int32 {
	if n == nil {
		return nil
	}
	short := int32(*n)
	return &short
}

func textOf(raw json.RawMessage) *string {
	if raw == nil {
		return nil
	}
	text := string(raw)
	return &text
}

// utc is a scanned time that may be absent.
func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	in := t.UTC()
	return &in
}
