package cmdline

import (
	"fmt"
	"reflect"
)

// Typed are the names of the flags that were typed.
type Typed map[string]bool

// Add adds a flag with the value that it has in the end. It refuses one that would
// be dropped: a text that is empty, such as that of a variable that is not set (but
// for a cursor's, which is the first page's), and a second value where one alone
// can count. A flag of certain values, an enum, has refused the others already. The
// use is how the flag is written.
func (t Typed) Add(name string, value reflect.Value, enum bool, use string) error {
	kind := value.Kind()
	several := kind == reflect.Slice || kind == reflect.Map || kind == reflect.Bool
	switch {
	case !enum && name != "cursor" && isEmpty(value):
		return fmt.Errorf("--%s: its value is empty: give one, as in %s, or leave the flag out", name, use)
	case t[name] && !several:
		return fmt.Errorf("--%s is given twice, and only one value can count: give it once", name)
	}
	t[name] = true
	return nil
}

// isEmpty reports whether a text, or one of several, is empty.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		return v.Len() == 0
	case reflect.Slice:
		for i := range v.Len() {
			if isEmpty(v.Index(i)) {
				return true
			}
		}
		return v.Len() == 0
	}
	return false
}
