package main

import (
	"encoding/json"
	"io"
	"strings"

	"github.com/sandtrail/sandtrail"
)

// ocsfEvent is a Process Activity (class 1007) of the Open Cybersecurity
// Schema Framework; docs/operations.md has the mapping.
type ocsfEvent struct {
	ActivityID  int          `json:"activity_id"`
	CategoryUID int          `json:"category_uid"`
	ClassUID    int          `json:"class_uid"`
	TypeUID     int          `json:"type_uid"`
	SeverityID  int          `json:"severity_id"`
	StatusID    int          `json:"status_id"`
	StatusCode  string       `json:"status_code"`
	Time        int64        `json:"time"`       // Unix milliseconds, like those below
	StartTime   int64        `json:"start_time"` // of the execution
	EndTime     int64        `json:"end_time"`
	Duration    int          `json:"duration"`
	Metadata    ocsfMetadata `json:"metadata"`
	Actor       struct {
		User ocsfUser `json:"user"`
	} `json:"actor"`
	Process  ocsfProcess  `json:"process"`
	Unmapped ocsfUnmapped `json:"unmapped"`
}

type ocsfMetadata struct {
	Version string      `json:"version"`
	UID     string      `json:"uid"`
	Product ocsfProduct `json:"product"`
}

type ocsfProduct struct {
	Name       string `json:"name"`
	VendorName string `json:"vendor_name"`
}

type ocsfUser struct {
	UID          string `json:"uid"`
	Name         string `json:"name,omitempty"`
	EmailAddress string `json:"email_addr,omitempty"`
}

type ocsfProcess struct {
	UID  string `json:"uid"`
	Name string `json:"name"`
}

// ocsfUnmapped is what the framework has no place for.
type ocsfUnmapped struct {
	StrategyID    string                  `json:"strategyId"`
	ExecutionType sandtrail.ExecutionType `json:"executionType"`
	TimedOut      bool                    `json:"timedOut"`
	MemoryUsed    *int                    `json:"memoryUsed"`
	CPUUsage      *float64                `json:"cpuUsage"`
	ErrorCount    int                     `json:"errorCount"`
	WarningCount  int                     `json:"warningCount"`
	ClassesFound  []string                `json:"classesFound"`
	Metadata      json.RawMessage         `json:"metadata"`
}

// The framework's numbers.
const (
	ocsfTerminate      = 2 // the record is of the end of a run
	ocsfSystemActivity = 1
	ocsfProcessClass   = 1007
	ocsfInformational  = 1
	ocsfMedium         = 3
	ocsfSuccess        = 1
	ocsfFailure        = 2
)

func ocsfOf(e sandtrail.Execution) ocsfEvent {
	at := e.CreatedAt.UnixMilli()
	event := ocsfEvent{
		ActivityID: ocsfTerminate, CategoryUID: ocsfSystemActivity, ClassUID: ocsfProcessClass, TypeUID: 100*ocsfProcessClass + ocsfTerminate,
		SeverityID: ocsfInformational, StatusID: ocsfSuccess, StatusCode: "success",
		Time: at, StartTime: at - int64(e.ExecutionTime), EndTime: at, Duration: e.ExecutionTime,
		Metadata: ocsfMetadata{Version: "1.3.0", UID: e.ID.String(), Product: ocsfProduct{"Sandtrail", "Sandtrail"}},
		Process:  ocsfProcess{UID: e.ID.String(), Name: e.StrategyID},
		Unmapped: ocsfUnmapped{
			StrategyID: e.StrategyID, ExecutionType: e.Type, TimedOut: e.TimedOut, MemoryUsed: e.MemoryUsed, CPUUsage: e.CPUUsage,
			ErrorCount: e.ErrorCount, WarningCount: e.WarningCount, ClassesFound: e.Classes, Metadata: e.Metadata,
		},
	}
	event.Actor.User.UID = e.UserID
	if e.User != nil {
		event.Actor.User.EmailAddress = e.User.Email
		if e.User.Name != nil {
			event.Actor.User.Name = *e.User.Name
		}
	}
	if e.Strategy != nil && strings.TrimSpace(e.Strategy.Name) != "" {
		event.Process.Name = e.Strategy.Name
	}
	if !e.Success {
		event.SeverityID, event.StatusID, event.StatusCode = ocsfMedium, ocsfFailure, "failure"
	}
	if e.TimedOut {
		event.StatusCode = "timeout"
	}
	return event
}

func exportOCSF(w io.Writer) exporter {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return exporter{
		write: func(executions []sandtrail.Execution) error {
			for _, e := range executions {
				if err := encoder.Encode(ocsfOf(e)); err != nil {
					return err
				}
			}
			return nil
		},
		close: func() error { return nil },
	}
}
