package recorder

import (
	"slices"
	"strings"
)

const mask = "***"

// secretWords are in the names of secrets, dashes and underscores left out.
// (The recorder starts often and has no time for regular expressions.)
var secretWords = []string{"pass", "secret", "token", "credential", "apikey", "accesskey", "privatekey", "authkey", "authorization"}

func isSecretName(name string) bool {
	plain := strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(name))
	return slices.ContainsFunc(secretWords, func(word string) bool { return strings.Contains(plain, word) })
}

// maskURLs masks the passwords in the URLs of a text.
func maskURLs(text string) string {
	var b strings.Builder
	for {
		at := strings.Index(text, "://")
		if at < 0 {
			return b.String() + text
		}
		at += len("://")
		b.WriteString(text[:at])
		text = text[at:]
		user := strings.IndexAny(text, "/@: \t\n\f\r")
		if user < 0 || text[user] != ':' {
			continue
		}
		password := text[user+1:]
		if end := strings.IndexAny(password, "/@ \t\n\f\r"); end > 0 && password[end] == '@' {
			b.WriteString(text[:user+1] + mask)
			text = password[end:]
		}
	}
}

// maskSecrets copies arguments for the record: the values of those named like
// secrets ("--token X", "--token=X", "API_KEY=X") and the passwords in URLs
// are replaced. Other secrets cannot be recognised,
// so arguments are recorded on request only.
func maskSecrets(args []string) []string {
	masked := make([]string, len(args))
	expected := false // the argument before was the name of a secret
	for i, arg := range args {
		name, _, hasValue := strings.Cut(arg, "=")
		named := isSecretName(name)
		switch {
		case expected && !strings.HasPrefix(arg, "-"):
			masked[i] = mask
		case named && hasValue:
			masked[i] = storable(name) + "=" + mask
		default:
			masked[i] = storable(maskURLs(arg))
		}
		expected = named && !hasValue && strings.HasPrefix(arg, "-")
	}
	return masked
}
