package main

import (
	"context"
	"runtime/debug"
	"strings"
)

type versionCmd struct{}

// Examples shows how it is used.
func (versionCmd) Examples() []string { return []string{"sandtrail version", "sandtrail --version"} }

// Run prints the version, the commit and its time, and what built it.
func (versionCmd) Run(d *deps) error { return d.say("%s", versionLine()) }

// versionLine is what tells one build from another.
func versionLine() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "sandtrail unknown"
	}
	parts := []string{"sandtrail " + moduleVersion(info)}
	if commit := setting(info, "vcs.revision"); commit != "" {
		if setting(info, "vcs.modified") == "true" {
			commit += " with changes"
		}
		parts = append(parts, "commit "+commit, setting(info, "vcs.time"))
	}
	return strings.Join(append(parts, info.GoVersion), ", ")
}

// buildVersion is the module's version, or the commit it was built from.
func buildVersion() string {
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

type helpCmd struct {
	Command []string `arg:"" optional:"" help:"A command, such as users add."`
}

// Examples shows how it is used.
func (helpCmd) Examples() []string { return []string{"sandtrail help", "sandtrail help users add"} }

// Run prints the help of a command.
func (c *helpCmd) Run(ctx context.Context, d *deps) error {
	return d.again(ctx, append(c.Command, "--help"))
}
