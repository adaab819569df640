package sandtrail

import (
	"encoding/json"
	"fmt"
	"strings"
)

// fields are the members of a record as JSON.
var fields = []string{
	"id", "userId", "strategyId", "executionType", "success", "executionTime", "memoryUsed", "cpuUsage",
	"timedOut", "errorCount", "warningCount", "classesFound", "metadata", "createdAt",
}

// otherFields are names that other programs have for them.
var otherFields = map[string]string{
	"uid": "userId", "username": "userId", "owner": "userId", "user": "userId",
	"strategy": "strategyId", "strategyname": "strategyId", "agent": "strategyId", "algorithm": "strategyId",
	"executionid": "id", "runid": "id", "uuid": "id",
	"type": "executionType", "kind": "executionType",
	"status": "success", "ok": "success", "succeeded": "success", "successful": "success", "passed": "success", "result": "success", "failed": "success",
	"time": "executionTime", "duration": "executionTime", "durationms": "executionTime", "executiontimems": "executionTime",
	"elapsed": "executionTime", "runtime": "executionTime",
	"memory": "memoryUsed", "mem": "memoryUsed", "memoryusage": "memoryUsed", "memorymb": "memoryUsed", "memoryusedmb": "memoryUsed", "peakmemory": "memoryUsed",
	"cpu": "cpuUsage", "cpupercent": "cpuUsage", "timeout": "timedOut",
	"errors": "metadata.errors", "error": "metadata.errors", "warnings": "metadata.warnings",
	"exitcode": "metadata.run.exitCode", "command": "metadata.run.command",
	"classes": "classesFound", "meta": "metadata", "extra": "metadata", "data": "metadata",
	"timestamp": "createdAt", "ts": "createdAt", "date": "createdAt", "created": "createdAt", "endedat": "createdAt", "ended": "createdAt", "finishedat": "createdAt",
}

// unknownField says what to write in place of a member that is none.
func unknownField(name string) string {
	meant := otherFields[plainWord(name)]
	if meant == "" {
		meant = Nearest(name, fields)
	}
	if meant == "" {
		return "unknown field; what else is known about an execution goes into metadata"
	}
	return fmt.Sprintf("unknown field %s; did you mean %s?", name, meant)
}

// wrongOwner says of a user or a strategy that is no object what to write.
func wrongOwner(name string, value json.RawMessage) string {
	if strings.HasPrefix(string(value), `"`) {
		return fmt.Sprintf("unknown field %s; did you mean %sId?", name, name)
	}
	return fmt.Sprintf("must be an object or null, as reads give it, not %s; the id alone goes into %sId", abbreviate(value), name)
}
