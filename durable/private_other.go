//go:build !unix

package durable

import "io/fs"

// Windows keeps pipes elsewhere than among files, and links for administrators.
const (
	openFlags = 0
	noFollow  = 0
)

// checkPrivate leaves it to the access lists of the user's profile.
func checkPrivate(string, fs.FileInfo) error { return nil }

func isLink(error) bool { return false }
