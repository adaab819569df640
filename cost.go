package sandtrail

import "math"

// Costs sum up the use of executions, as platforms bill it. A sum is exact to
// the unit in which executions are summed: microseconds of CPU time, and MiB
// times milliseconds. It is nil where no execution was measured.
type Costs struct {
	CPUSeconds       *float64 `json:"cpuSeconds" doc:"CPU time in seconds: the sum of cpuUsage × executionTime. null if no execution was measured."`
	MemoryMiBSeconds *float64 `json:"memoryMiBSeconds" doc:"The sum of memoryUsed × executionTime. null if no execution was measured."`
}

// Measured counts the executions that Costs sum up. The others were not
// measured and cost nothing.
type Measured struct {
	CPUUsage   int64 `json:"cpuUsage" doc:"Executions that cpuSeconds counts."`
	MemoryUsed int64 `json:"memoryUsed" doc:"Executions that memoryMiBSeconds counts."`
}

// CPUMicroseconds is the CPU time of the execution: cpuUsage × executionTime,
// rounded. It is not measured where cpuUsage is nil or above MaxCPUUsage.
func (e Execution) CPUMicroseconds() (n int64, measured bool) {
	if e.CPUUsage == nil || !(*e.CPUUsage >= 0 && *e.CPUUsage <= MaxCPUUsage) {
		return 0, false
	}
	return int64(math.Round(*e.CPUUsage * float64(e.ExecutionTime) * 10)), true
}

// MemoryMiBMilliseconds is memoryUsed × executionTime of the execution. It is
// not measured where memoryUsed is nil.
func (e Execution) MemoryMiBMilliseconds() (n int64, measured bool) {
	if e.MemoryUsed == nil {
		return 0, false
	}
	return int64(*e.MemoryUsed) * int64(e.ExecutionTime), true
}

// Costs are those of this execution.
func (e Execution) Costs() (c Costs) {
	if n, measured := e.CPUMicroseconds(); measured {
		c.CPUSeconds = new(float64(n) / 1e6)
	}
	if n, measured := e.MemoryMiBMilliseconds(); measured {
		c.MemoryMiBSeconds = new(float64(n) / 1e3)
	}
	return c
}
