package main

import (
	"runtime/debug"
)

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(d *deps) error { return d.say("sandtrail %s", buildVersion()) }

// buildVersion is the module's version, or the commit it was built from.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := info.Main.Version
	if version == "" || version == "(devel)" {
		version = "devel"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && version == "devel" {
			version += " " + s.Value
		}
	}
	return version + " " + info.GoVersion
}
