package runner

import (
	"runtime/debug"
	"strings"
)

// VersionLine is what tells one build from another.
func VersionLine(program string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return program + " unknown"
	}
	parts := []string{program + " " + moduleVersion(info)}
	if commit := setting(info, "vcs.revision"); commit != "" {
		if setting(info, "vcs.modified") == "true" {
			commit += " with changes"
		}
		parts = append(parts, "commit "+commit, setting(info, "vcs.time"))
	}
	return strings.Join(append(parts, info.GoVersion), ", ")
}

// BuildVersion is the module's version, or the commit it was built from.
func BuildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := moduleVersion(info)
	if commit := setting(info, "vcs.revision"); commit != "" && version == "devel" {
		version += " " + commit
	}
	return version + " " + info.GoVersion
}

func moduleVersion(info *debug.BuildInfo) string {
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	return "devel"
}

// setting is a setting of the build, "" where it is not known.
func setting(info *debug.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}
