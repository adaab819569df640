package client

// What is read of an answer, whatever the server is: a page has 1,000 executions of
// 64 KiB metadata at most.
const (
	maxAnswer   = 128 << 20 // bytes of an answer
	maxElements = 1_000_000 // of it, as elements counts them
	maxLine     = 16 << 20  // bytes of a line of an export or a stream
	maxFile     = 8 << 20   // bytes of a checkpoint, a receipt or a tile
)

// answer names what comes back in errors.
func (r call) answer() string { return "the answer to " + r.String() }

// elements counts the elements of the arrays in JSON that become Go values, those
// of lists ten times: a small text can have many, and each takes memory. Of
// executions the metadata stays text.
func elements(raw []byte) (n int) {
	const lists, classes = 2, 4 // {"items":[…]}, {"items":[{"classesFound":[…]}]}
	var isArray [classes + 1]bool
	depth, quoted, escaped := 0, false, false
	for _, c := range raw {
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped, quoted = c == '\\', c != '"'
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			if depth++; depth <= classes {
				isArray[depth] = c == '['
			}
		case c == '}' || c == ']':
			depth = max(depth-1, 0)
		case c == ',' && depth <= lists && isArray[depth]:
			n += 10
		case c == ',' && depth <= classes && isArray[depth]:
			n++
		}
	}
	return n
}
