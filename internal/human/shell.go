package human

import "strings"

// plain are the characters that no shell gives a meaning in a word.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,:/@%+="

// ShellWord spells an argument so that a shell takes it as one word, as it is.
// A word that begins with "-" keeps its meaning of a flag.
func ShellWord(s string) string {
	if s != "" && strings.Trim(s, plain+"-") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
