package sandtrail

import (
	"strconv"
	"strings"
)

// CSVHeader names the columns of CSVRecord.
func CSVHeader() []string {
	return []string{
		"id", "userId", "strategyId", "executionType", "success", "executionTime", "memoryUsed", "cpuUsage",
		"timedOut", "errorCount", "warningCount", "classesFound", "metadata", "createdAt",
		"userEmail", "userName", "strategyName",
	}
}

// CSVRecord is the execution as cells of a CSV file. What is not known is
// empty. Text that a spreadsheet would take for a formula is preceded by an
// apostrophe.
func (e Execution) CSVRecord() []string {
	cells := []string{
		e.ID.String(), CSVText(e.UserID), CSVText(e.StrategyID), string(e.Type),
		strconv.FormatBool(e.Success), strconv.Itoa(e.ExecutionTime), csvInt(e.MemoryUsed), csvFloat(e.CPUUsage),
		strconv.FormatBool(e.TimedOut), strconv.Itoa(e.ErrorCount), strconv.Itoa(e.WarningCount),
		CSVText(strings.Join(e.Classes, ",")), CSVText(string(e.Metadata)), Time{e.CreatedAt}.String(),
		"", "", "",
	}
	if owner := cells[len(cells)-3:]; e.User != nil {
		owner[0] = CSVText(e.User.Email)
		if e.User.Name != nil {
			owner[1] = CSVText(*e.User.Name)
		}
	}
	if e.Strategy != nil {
		cells[len(cells)-1] = CSVText(e.Strategy.Name)
	}
	return cells
}

// CSVText keeps a cell from being run as a formula (CWE-1236).
func CSVText(s string) string {
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
