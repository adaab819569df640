package archive

import (
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// Row is one of a Parquet file: the columns of the table.
type Row struct {
	ID            [16]byte `parquet:"id,uuid"`
	UserID        string   `parquet:"user_id,dict"`
	StrategyID    string   `parquet:"strategy_id,dict"`
	Type          string   `parquet:"execution_type,dict"`
	Success       bool     `parquet:"success"`
	ExecutionTime int32    `parquet:"execution_time"`
	MemoryUsed    *int32   `parquet:"memory_used,optional"`
	CPUUsage      *float64 `parquet:"cpu_usage,optional"`
	TimedOut      bool     `parquet:"timed_out"`
	ErrorCount    int32    `parquet:"error_count"`
	WarningCount  int32    `parquet:"warning_count"`
	Classes       *string  `parquet:"classes_found,optional"`
	Metadata      *string  `parquet:"metadata,optional"`
	CreatedAt     int64    `parquet:"created_at,timestamp(millisecond)"`
}

// Writer writes executions as a Parquet file.
type Writer struct {
	out *parquet.GenericWriter[Row]
}

// NewWriter begins a file. It keeps up to 100,000 rows in memory.
func NewWriter(w io.Writer) *Writer {
	return &Writer{parquet.NewGenericWriter[Row](w, parquet.Compression(&zstd.Codec{}), parquet.MaxRowsPerRowGroup(100_000))}
}

// Write adds executions.
func (w *Writer) Write(executions []sandtrail.Execution) error {
	rows := make([]Row, len(executions))
	for i, e := range executions {
		rows[i] = rowOf(e)
	}
	_, err := w.out.Write(rows)
	return err
}

// Close ends the file; what is below it stays open.
func (w *Writer) Close() error { return w.out.Close() }

func rowOf(e sandtrail.Execution) Row {
	r := Row{
		ID: e.ID, UserID: e.UserID, StrategyID: e.StrategyID, Type: string(e.Type),
		Success: e.Success, ExecutionTime: int32(e.ExecutionTime), CPUUsage: e.CPUUsage,
		TimedOut: e.TimedOut, ErrorCount: int32(e.ErrorCount), WarningCount: int32(e.WarningCount),
		Classes: database.JoinClasses(e.Classes), CreatedAt: e.CreatedAt.UnixMilli(),
	}
	if e.MemoryUsed != nil {
		memory := int32(*e.MemoryUsed)
		r.MemoryUsed = &memory
	}
	if e.Metadata != nil {
		metadata := string(e.Metadata)
		r.Metadata = &metadata
	}
	return r
}
