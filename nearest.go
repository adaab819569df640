package sandtrail

import "strings"

// Nearest is the known word that was probably meant by a mistyped one: the same
// but for case, "-" and "_", or else the one that the fewest letters make it, two
// at most and half of them at most. "": none.
func Nearest(word string, known []string) string {
	typed := plainWord(word)
	best, distance := "", min(3, (len(typed)+2)/2)
	for _, k := range known {
		if d := slips(typed, plainWord(k)); d < distance {
			best, distance = k, d
		}
	}
	return best
}

var marks = strings.NewReplacer("-", "", "_", "", ".", "", " ", "")

func plainWord(word string) string { return marks.Replace(strings.ToLower(word)) }

// slips is how many letters to change, add or leave out make one word the other.
func slips(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0] // of the row above, one to the left
		row[0] = i + 1
		for j := range len(b) {
			same := before
			if a[i] != b[j] {
				same++
			}
			before = row[j+1]
			row[j+1] = min(same, row[j]+1, before+1)
		}
	}
	return row[len(b)]
}
