package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/parquetfile"
	"github.com/sandtrail/sandtrail/ledger"
)

// readArchived yields the executions of an archived file.
func readArchived(ctx context.Context, from Store, name string, yield func(sandtrail.Execution)) (err error) {
	f, err := from.open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err == nil {
		err = checkHash(ctx, from, name, f, info.Size())
	}
	if err == nil {
		err = eachArchived(ctx, f, info.Size(), yield)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// checkHash compares a file with its manifest, if it has one. Who signed that is for
// verify to say: this keeps a damaged file from being read.
func checkHash(ctx context.Context, from Store, name string, f io.ReaderAt, size int64) error {
	signed, err := contentOf(ctx, from, name+manifestSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	m, err := ledger.ReadManifest(signed)
	if err != nil {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "%s%s: %w: restore it from a copy", name, manifestSuffix, err)
	}
	sum, err := sumOf(f, size)
	if err == nil && sum != m.SHA256 {
		err = sandtrail.Errorf(sandtrail.CodeInvalid, "it is not the file that %s%s was written for, its SHA-256 is another: restore it from a copy", name, manifestSuffix)
	}
	return err
}

// archiveColumns are the columns of a row, in order.
var archiveColumns = []parquetfile.Column{
	{Name: "id", Type: parquetfile.UUID},
	{Name: "user_id", Type: parquetfile.Text},
	{Name: "strategy_id", Type: parquetfile.Text},
	{Name: "execution_type", Type: parquetfile.Text},
	{Name: "success", Type: parquetfile.Bool},
	{Name: "execution_time", Type: parquetfile.Int32},
	{Name: "memory_used", Type: parquetfile.Int32, Optional: true},
	{Name: "cpu_usage", Type: parquetfile.Double, Optional: true},
	{Name: "timed_out", Type: parquetfile.Bool},
	{Name: "error_count", Type: parquetfile.Int32},
	{Name: "warning_count", Type: parquetfile.Int32},
	{Name: "classes_found", Type: parquetfile.Text, Optional: true},
	{Name: "metadata", Type: parquetfile.Text, Optional: true},
	{Name: "created_at", Type: parquetfile.Int64},
}

// eachArchived reads the rows of a file.
func eachArchived(ctx context.Context, f io.ReaderAt, size int64, yield func(sandtrail.Execution)) error {
	file, err := parquetfile.Open(f, size, archiveColumns)
	if err != nil {
		return err
	}
	return file.Each(ctx, func(row []parquetfile.Value) error {
		e := archivedExecution(row)
		if year := e.CreatedAt.Year(); year < 0 || year > 9999 {
			return sandtrail.Errorf(sandtrail.CodeInvalid, "execution %s: created_at: must be in the years 0 to 9999: restore the file from a copy", e.ID)
		}
		yield(e)
		return nil
	})
}

// archivedExecution is the inverse of rowOf.
func archivedExecution(row []parquetfile.Value) sandtrail.Execution {
	e := sandtrail.Execution{
		ID: sandtrail.ID(row[0].Bytes), UserID: string(row[1].Bytes), StrategyID: string(row[2].Bytes), Type: sandtrail.ExecutionType(row[3].Bytes),
		Success: row[4].Int == 1, ExecutionTime: int(row[5].Int),
		TimedOut: row[8].Int == 1, ErrorCount: int(row[9].Int), WarningCount: int(row[10].Int),
		Classes: sandtrail.SplitClasses(textOf(row[11])), Metadata: database.MetadataFromColumn(textOf(row[12])),
		CreatedAt: time.UnixMilli(row[13].Int).UTC(),
	}
	if !row[6].Null {
		memory := int(row[6].Int)
		e.MemoryUsed = &memory
	}
	if cpu := math.Float64frombits(uint64(row[7].Int)); !row[7].Null && !math.IsNaN(cpu) && !math.IsInf(cpu, 0) {
		e.CPUUsage = &cpu
	}
	return e
}

func textOf(v parquetfile.Value) *string {
	if v.Null {
		return nil
	}
	text := string(v.Bytes)
	return &text
}

// List reads the newest executions of an archive that a query selects.
func List(ctx context.Context, from Store, q sandtrail.Query, now time.Time) (sandtrail.Page, error) {
	if q.Cursor != "" {
		return sandtrail.Page{}, sandtrail.Errorf(sandtrail.CodeInvalid, "--cursor does not go on in an archive: narrow the time with --until")
	}
	plan, err := q.Plan(now)
	if err != nil {
		return sandtrail.Page{}, err
	}
	names, err := from.names(ctx)
	if err != nil {
		return sandtrail.Page{}, err
	}
	found := shelf{limit: q.Limit, items: []sandtrail.Execution{}}
	for _, name := range slices.Backward(names) { // newest weeks first
		err := readArchived(ctx, from, name, func(e sandtrail.Execution) {
			if database.Selects(plan.Filter, e) {
				found.add(e)
			}
		})
		if err == nil && found.bytes > maxKept {
			err = sandtrail.Errorf(sandtrail.CodeTooLarge, "%s: the executions have more than %d MiB of texts: ask for fewer with --limit", name, maxKept>>20)
		}
		if err != nil {
			return sandtrail.Page{}, err
		}
	}
	found.prune()
	return sandtrail.Page{Items: found.items}, nil
}

// shelf keeps the newest executions of those that were added.
type shelf struct {
	limit int
	items []sandtrail.Execution
	bytes int // of their texts
}

// maxKept bounds the texts of what is kept, in bytes.
const maxKept = 128 << 20

func (k *shelf) add(e sandtrail.Execution) {
	if k.bytes > maxKept {
		return // too many already, which is told at the end of the file
	}
	k.items, k.bytes = append(k.items, e), k.bytes+textsOf(e)
	if len(k.items) >= 2*sandtrail.MaxLimit || k.bytes > maxKept {
		k.prune()
	}
}

func (k *shelf) prune() {
	k.items, k.bytes = newest(k.items, k.limit), 0
	for _, e := range k.items {
		k.bytes += textsOf(e)
	}
}

func textsOf(e sandtrail.Execution) int {
	const header = 16 // of each text
	n := len(e.UserID) + len(e.StrategyID) + len(e.Type) + len(e.Metadata)
	for _, class := range e.Classes {
		n += len(class) + header
	}
	return n
}

// newest keeps the newest n executions, newest first.
func newest(executions []sandtrail.Execution, n int) []sandtrail.Execution {
	slices.SortFunc(executions, func(a, b sandtrail.Execution) int {
		if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
			return c
		}
		return slices.Compare(b.ID[:], a.ID[:])
	})
	n = min(n, len(executions))
	clear(executions[n:]) // what they hold is not wanted any more
	return executions[:n]
}
