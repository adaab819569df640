// Package asciicast writes and reads recordings of terminal sessions in the
// asciicast v3 format: a header, then one event per line, each with the time
// since the one before. It is pure: bytes and times in, lines and events out.
package asciicast

import (
	"strconv"
	"time"
)

// Header says what was recorded.
type Header struct {
	Cols, Rows int       // of the terminal at the beginning
	Begun      time.Time // to the second; zero: not known
	Command    string    // "": not known
}

// Code says what an event is. A reader passes on those that it does not know.
type Code string

// The codes of the format.
const (
	Output Code = "o" // Data was written to the terminal
	Input  Code = "i" // Data was typed
	Resize Code = "r" // Data is the terminal's new size, such as "80x24"
	Marker Code = "m" // Data labels a moment
	Exit   Code = "x" // Data is the status with which the command ended
)

// Event is one moment of a session.
type Event struct {
	At   time.Duration // since the beginning, to the microsecond
	Code Code
	Data string
}

// SizeText is a size as Resize events have it.
func SizeText(cols, rows int) string { return strconv.Itoa(cols) + "x" + strconv.Itoa(rows) }

// header is the first line of a file.
type header struct {
	Version   int       `json:"version"`
	Term      *termSize `json:"term"`
	Timestamp int64     `json:"timestamp,omitempty"` // Unix time, seconds
	Command   string    `json:"command,omitempty"`
}

type termSize struct {
	Cols int `json:"cols"`
	Rows int `json:"rows"`
}

const (
	version = 3
	// maxSide bounds a terminal's columns and rows: what the kernel can hold.
	maxSide = 1<<16 - 1
	// maxTime bounds the length of a session, so that times add up.
	maxTime = 10 * 365 * 24 * time.Hour
)
