// Package recordcsv writes executions as the cells of CSV files.
package recordcsv

import (
	"strconv"
	"strings"

	"github.com/sandtrail/sandtrail"
)

// Header names the columns of Record.
func Header() []string {
	return []string{
		"id", "userId", "strategyId", "executionType", "success", "executionTime", "memoryUsed", "cpuUsage",
		"timedOut", "errorCount", "warningCount", "classesFound", "metadata", "createdAt",
		"userEmail", "userName", "strategyName",
	}
}

// Record is an execution as cells of a CSV file. What is not known is
// empty. Text that a spreadsheet would take for a formula is preceded by an
// apostrophe.
func Record(e sandtrail.Execution) []string {
	cells := []string{
		e.ID.String(), Text(e.UserID), Text(e.StrategyID), string(e.Type),
		strconv.FormatBool(e.Success), strconv.Itoa(e.ExecutionTime), csvInt(e.MemoryUsed), csvFloat(e.CPUUsage),
		strconv.FormatBool(e.TimedOut), strconv.Itoa(e.ErrorCount), strconv.Itoa(e.WarningCount),
		Text(strings.Join(e.Classes, ",")), Text(string(e.Metadata)), sandtrail.Time{Time: e.CreatedAt}.String(),
		"", "", "",
	}
	if owner := cells[len(cells)-3:]; e.User != nil {
		owner[0] = Text(e.User.Email)
		if e.User.Name != nil {
			owner[1] = Text(*e.User.Name)
		}
	}
	if e.Strategy != nil {
		cells[len(cells)-1] = Text(e.Strategy.Name)
	}
	return cells
}

// Text keeps a cell from being run as a formula (CWE-1236).
func Text(s string) string {
	if s != "" && strings.IndexByte("=+-@\t\r", s[0]) >= 0 {
		return "'" + s
	}
	return s
}

func csvInt(n *int) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(*n)
}

func csvFloat(f *float64) string {
	if f == nil {
		return ""
	}
	return strconv.FormatFloat(*f, 'g', -1, 64)
}
