// Package pty makes pseudo-terminals, on Linux.
package pty

// Size is that of a terminal, in characters.
type Size struct{ Cols, Rows int }
