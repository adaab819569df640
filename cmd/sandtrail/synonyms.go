package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/sandtrail/sandtrail"
)

// otherFlags are the words of other programs for our flags. Of those that a word may
// mean the first ones that the command has are named; what is behind = is the value.
var otherFlags = map[string][]string{
	"from": {"since"}, "after": {"since"}, "start": {"since"}, "newer-than": {"since"},
	"to": {"until", "output"}, "before": {"until", "older-than"}, "end": {"until"},
	"last": {"within", "since", "days"}, "hours": {"within", "since"}, "window": {"within", "days"}, "period": {"within", "days"}, "past": {"within", "since", "days"},
	"days": {"within", "since", "older-than"}, "weeks": {"days", "since"}, "age": {"older-than", "since"}, "keep": {"older-than", "retention"}, "days-to-keep": {"older-than"},
	"status": {"failed"}, "error": {"failed"}, "errors": {"failed"}, "failures": {"failed"}, "success": {"failed"}, "timeouts": {"timed-out"},
	"strategy-id": {"strategy"}, "user-id": {"user"}, "owner": {"user"}, "id": {"strategy", "user", "file"}, "name": {"strategy", "user"},
	"json": {"output=json", "format=ndjson"}, "csv": {"output=csv", "format=csv"}, "format": {"output"}, "output": {"format", "to"}, "out": {"to", "output"},
	"f": {"output", "format"}, "o": {"format", "to"},
	"n": {"limit", "last", "executions", "rounds"}, "count": {"limit", "last"}, "max": {"limit"}, "top": {"limit"}, "head": {"limit"}, "size": {"limit"}, "all": {"limit=1000"},
	"page": {"cursor"}, "offset": {"cursor"}, "skip": {"cursor"}, "next": {"cursor"},
	"timezone": {"tz"}, "zone": {"tz"}, "time-zone": {"tz"}, "interval": {"bucket"}, "by": {"bucket"}, "group-by": {"bucket"}, "granularity": {"bucket"}, "hourly": {"bucket=hour"}, "daily": {"bucket=day"},
	"port": {"listen"}, "host": {"listen", "server"}, "address": {"listen", "server"}, "addr": {"listen", "server"}, "bind": {"listen"},
	"database": {"db"}, "dsn": {"db"}, "database-url": {"db"}, "sqlite": {"db"}, "postgres": {"db"}, "url": {"server", "db"}, "endpoint": {"server"}, "remote": {"server"},
	"token": {"key"}, "api-key": {"key"}, "auth": {"key"}, "password": {"key"}, "bearer": {"key"},
	"time-limit": {"timeout"}, "max-duration": {"timeout"}, "t": {"timeout", "type"}, "memory-limit": {"memory"}, "mem": {"memory"}, "ram": {"memory"}, "max-memory": {"memory"},
	"cpu": {"cpus"}, "processes": {"pids"}, "env": {"pass-env"}, "e": {"pass-env"}, "code": {"source"}, "script": {"source"},
	"pubkey": {"public-key"}, "pub": {"public-key"}, "file": {"export", "receipt", "checkpoint", "to", "record-file"},
	"check": {"status", "dry-run"}, "plan": {"dry-run"}, "preview": {"dry-run"}, "dryrun": {"dry-run"}, "mail": {"email"}, "e-mail": {"email"},
	"permission": {"role"}, "scope": {"role"}, "ttl": {"expires"}, "expiry": {"expires"}, "duration": {"for"}, "verbose": {"log-level=debug"}, "debug": {"log-level=debug"},
	"cert": {"tls-cert"}, "ssl": {"tls-cert"}, "comment": {"reason"}, "note": {"reason"}, "search": {"text"}, "grep": {"text"}, "contains": {"text"}, "q": {"text"}, "metadata": {"text"}, "message": {"reason"},
}

// otherCommands are the words of other programs for our commands: of those that a
// word may mean the first that there is at this place is named.
var otherCommands = map[string][]string{
	"run": {"exec"}, "execute": {"exec"}, "exec": {"exec"}, "measure": {"exec"},
	"log": {"list"}, "logs": {"list"}, "ls": {"list"}, "query": {"list"}, "search": {"list"}, "tail": {"list"}, "history": {"list", "history"}, "executions": {"list"}, "all": {"list"},
	"get": {"show"}, "describe": {"show"}, "inspect": {"show", "list"}, "view": {"show"}, "info": {"show", "list"}, "cat": {"show"},
	"add": {"create", "record"}, "create": {"add", "migrate"}, "new": {"add", "create", "migrate"}, "update": {"add", "migrate"}, "set": {"add"}, "put": {"add", "record"}, "edit": {"add"}, "rename": {"add"},
	"delete": {"revoke", "remove", "delete", "cleanup"}, "remove": {"delete", "revoke", "cleanup"}, "rm": {"delete", "revoke", "remove", "cleanup"}, "del": {"delete", "revoke", "remove"}, "release": {"remove"},
	"prune": {"cleanup"}, "purge": {"cleanup"}, "clean": {"cleanup"}, "gc": {"cleanup"}, "retention": {"cleanup"},
	"init": {"migrate"}, "setup": {"migrate"}, "upgrade": {"migrate"}, "install": {"migrate"}, "schema": {"prisma", "migrate"},
	"start": {"serve"}, "server": {"serve"}, "web": {"serve"}, "ui": {"serve"}, "dashboard": {"serve"}, "daemon": {"serve"}, "up": {"serve"}, "listen": {"serve"},
	"status": {"doctor", "check", "list", "checkpoint"}, "ping": {"doctor"}, "diagnose": {"doctor"}, "check": {"verify"}, "validate": {"verify"}, "audit": {"verify"}, "integrity": {"verify"},
	"import": {"record"}, "upload": {"record"}, "ingest": {"record"}, "load": {"record"}, "insert": {"record"}, "append": {"record"},
	"download": {"export"}, "dump": {"export"}, "backup": {"export"}, "replay": {"play"}, "watch": {"play"},
	"errors": {"failures"}, "failed": {"failures"}, "problems": {"failures"}, "statistics": {"stats"}, "summary": {"stats"}, "trend": {"trends"}, "benchmark": {"bench"},
	"strategy": {"strategies"}, "algorithm": {"strategies"}, "people": {"users"}, "accounts": {"users"}, "tokens": {"keys"}, "apikeys": {"keys"}, "rules": {"alert"},
	"list": {"history", "checkpoint"}, "show": {"list", "checkpoint"}, "mute": {"silence"}, "snooze": {"silence"}, "unmute": {"unsilence"}, "evaluate": {"check"}, "test": {"check"},
	"send": {"flush"}, "deliver": {"flush"}, "push": {"flush"}, "sign": {"checkpoint"}, "public-key": {"key"}, "renew": {"rotate"},
}

// unknownFlag says what to type in place of a flag that the command lacks.
func unknownFlag(node *kong.Node, message string) string {
	word, found := strings.CutPrefix(message, "unknown flag ")
	word, _, _ = strings.Cut(word, ",")
	if !found {
		return ""
	}
	name := strings.ToLower(strings.TrimLeft(word, "-"))
	var meant []string
	for _, other := range otherFlags[name] {
		name, value, _ := strings.Cut(other, "=")
		f := longFlag(node, "--"+name)
		switch {
		case f == nil || len(meant) > 1:
		case value != "":
			return fmt.Sprintf("unknown flag %s, did you mean --%s?", word, other)
		default:
			meant = append(meant, fmt.Sprintf("%q", "--"+name))
		}
	}
	var names []string
	for _, group := range node.AllFlags(true) {
		for _, f := range group {
			names = append(names, f.Name)
			if len(meant) == 0 && len(word) > 2 && strings.HasPrefix(f.Name, name) || len(word) == 2 && len(otherFlags[name]) == 0 && f.Name[0] == word[1] {
				meant = append(meant, fmt.Sprintf("%q", "--"+f.Name))
			}
		}
	}
	if nearest := sandtrail.Nearest(name, names); len(meant) == 0 && nearest != "" {
		meant = []string{fmt.Sprintf("%q", "--"+nearest)}
	}
	if len(meant) == 0 {
		return fmt.Sprintf("unknown flag %s: %s takes %s", word, node.FullPath(), strings.Join(ownFlags(node), ", "))
	}
	return fmt.Sprintf("unknown flag %s, did you mean %s?", word, strings.Join(meant, " or "))
}

// ownFlags are the flags of a command: its own, or those of every command.
func ownFlags(node *kong.Node) (names []string) {
	for _, f := range node.Flags {
		if !f.Hidden {
			names = append(names, "--"+f.Name)
		}
	}
	for ; len(names) < 2 && node.Parent != nil; node = node.Parent {
		for _, f := range node.Parent.Flags {
			names = append(names, "--"+f.Name)
		}
	}
	return names
}

// unknownCommand says what to type in place of a command that there is not.
func unknownCommand(node *kong.Node, message string) string {
	word, found := strings.CutPrefix(message, "unexpected argument ")
	word, _, _ = strings.Cut(word, ",")
	if !found || len(node.Children) == 0 {
		return ""
	}
	var names []string
	for _, child := range node.Children {
		names = append(names, child.Name)
	}
	for _, other := range append(otherCommands[strings.ToLower(word)], sandtrail.Nearest(word, names)) {
		if slices.Contains(names, other) {
			return fmt.Sprintf("unexpected argument %s, did you mean %q?", word, other)
		}
	}
	return fmt.Sprintf("unexpected argument %s: %s takes one of %s", word, node.FullPath(), strings.Join(names, ", "))
}

var (
	bareNumber = regexp.MustCompile(`must be a duration .*got "(\d+)"$`)
	endless    = regexp.MustCompile(`^--(\S+): must be a duration .*got "(never|none|forever|infinite|unlimited|always)"$`)
)

// lengthHint says of a wrong length of time what was meant.
func lengthHint(message string) string {
	if number := bareNumber.FindStringSubmatch(message); number != nil {
		return fmt.Sprintf(": a number needs its unit, as in %[1]ss, %[1]sh or %[1]sd", number[1])
	}
	found := endless.FindStringSubmatch(message)
	switch {
	case found == nil:
		return ""
	case found[1] == "retention" || strings.HasPrefix(found[1], "keep-"):
		return "; 0 is for ever"
	case found[1] == "expires":
		return "; leave the flag out for a key that does not expire"
	}
	return ""
}

// missingWord says of a word that a command needs how it is called.
func missingWord(node *kong.Node, message string) string {
	if !strings.HasPrefix(message, `expected "<`) || !node.Target.CanAddr() {
		return ""
	}
	with, ok := node.Target.Addr().Interface().(examples)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s is missing, as in %s", strings.Trim(strings.TrimPrefix(message, "expected "), `"`), with.Examples()[0])
}
