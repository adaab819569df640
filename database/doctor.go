package database

// Check is one line of a store's examination by doctor.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`        // what was found
	Fix    string `json:"fix,omitempty"` // the command or statement that mends it
}

// Depth says how thorough Doctor is.
type Depth int

// The depths.
const (
	Shallow Depth = iota
	Deep
)
