package recorder

import (
	"regexp"
	"strings"
)

const mask = "***"

var (
	secretName = regexp.MustCompile(`(?i)(pass(word|wd|phrase)?|secret|token|credential|(api|access|private|auth)[-_]?key|authorization)[^=]*$`)
	urlSecret  = regexp.MustCompile(`(://[^/@:\s]*:)[^/@\s]+@`)
)

// maskSecrets copies arguments for the record: the values of those named like
// secrets ("--token X", "--token=X", "API_KEY=X") and the passwords in URLs
// are replaced. What a secret looks like otherwise nobody can know; that is
// why arguments are recorded on request only.
func maskSecrets(args []string) []string {
	masked := make([]string, len(args))
	expected := false // the argument before was the name of a secret
	for i, arg := range args {
		name, _, hasValue := strings.Cut(arg, "=")
		named := secretName.MatchString(name)
		switch {
		case expected && !strings.HasPrefix(arg, "-"):
			masked[i] = mask
		case named && hasValue:
			masked[i] = storable(name) + "=" + mask
		default:
			masked[i] = storable(urlSecret.ReplaceAllString(arg, "${1}"+mask+"@"))
		}
		expected = named && !hasValue && strings.HasPrefix(arg, "-")
	}
	return masked
}
