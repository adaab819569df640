package intake

import "bytes"

// Elements calls a function with each element of an array, which is valid JSON.
func Elements(array []byte, each func([]byte) error) error {
	return split(array, each)
}

// Members calls a function with each name, in its quotes, and value of an object,
// which is valid JSON.
func Members(object []byte, each func(name, value []byte) error) error {
	var name []byte
	return split(object, func(part []byte) error {
		if name == nil {
			name = part
			return nil
		}
		value := part
		part, name = name, nil
		return each(part, value)
	})
}

// split calls a function with each value inside the outermost brackets.
func split(outer []byte, each func([]byte) error) error {
	const between = " \t\r\n,:"
	rest := bytes.TrimSpace(outer)[1:]
	for rest = bytes.TrimLeft(rest, between); rest[0] != ']' && rest[0] != '}'; rest = bytes.TrimLeft(rest, between) {
		end := endOf(rest)
		if err := each(rest[:end:end]); err != nil {
			return err
		}
		rest = rest[end:]
	}
	return nil
}

// endOf is where the value ends that valid JSON begins with.
func endOf(text []byte) int {
	if c := text[0]; c != '{' && c != '[' && c != '"' {
		return bytes.IndexAny(text, ",]} \t\r\n")
	}
	var scan scanner
	for i, c := range text {
		if scan.closes(c) {
			return i + 1
		}
	}
	return len(text) // not of valid JSON
}
