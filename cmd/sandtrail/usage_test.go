package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestMistypes types what people type by mistake. Each must be refused with a
// message that names the mistake and what to type instead, and run nothing.
func TestMistypes(t *testing.T) {
	t.Chdir(t.TempDir())
	for typed, want := range map[string]string{
		"exec --user a --strategy b --timeot 1s -- true":    `unknown flag --timeot, did you mean "--timeout"?`,
		"exec --usr a --strategy b -- true":                 `unknown flag --usr, did you mean "--user"?`,
		"exec --user a --strategy b -timeout 1s -- true":    `unknown flag -timeout, did you mean "--timeout"?`,
		"exec --user a --strategy b -t 1s -- true":          `unknown flag -t`,
		"exec --user a --strategy b --timeout -- true":      `--timeout: a value is missing, as in --timeout=DURATION`,
		"exec --user a strategy b -- true":                  `unexpected argument strategy: only flags stand before --`,
		"exec --user a --strategy b true --timeot 1s -- x":  `unexpected argument true: only flags stand before --`,
		"exec --user a -- true":                             `missing flags: --strategy=ID`,
		"exec --user a --strategy b":                        `no command given`,
		"exec --user a --strategy b --cpus NaN -- true":     `--cpus: must be a number, not "NaN"`,
		"exec --user a --strategy b --memory 256MB -- true": `--memory: must be a whole number, not "256MB"`,
		"exec --user a --strategy b --no-record-args -- x":  `unknown flag --no-record-args`,
		"list -user ada":                         `unknown flag -user, did you mean "--user"?`,
		"list --user":                            `--user: a value is missing, as in --user=ID`,
		"list --limit ten":                       `--limit: must be a whole number, not "ten"`,
		"list ada":                               `unexpected argument ada: sandtrail list takes flags only, such as --user=ID, --strategy=ID`,
		"lst":                                    `unexpected argument lst, did you mean "list"?`,
		"stats momentum":                         `unexpected argument momentum: sandtrail stats takes flags only, such as --strategy=ID, --user=ID`,
		"health momentum":                        `sandtrail health takes flags only, such as --strategy=ID`,
		"alert chck":                             `unexpected argument chck, did you mean "check"?`,
		"alert silence --for":                    `--for: a value is missing, as in --for=DURATION`,
		"alert check --threshold NaN":            `--threshold: must be a number, not "NaN"`,
		"serve --rate-limit +Inf":                `--rate-limit: must be a number, not "+Inf"`,
		"--user ada list":                        `--user stands behind the command: sandtrail list --user=ID`,
		"list --user=":                           `--user: its value is empty: give one, as in --user=ID, or leave the flag out`,
		"keys create --role read --user=":        `--user: its value is empty`,
		"verify --public-key=":                   `--public-key: its value is empty`,
		"list --limit -1":                        `--limit: must not be negative, as -1 is; write it as in --limit=50`,
		"list --limit=-1":                        `--limit: must be 1 to 1000, got -1`,
		"list --since -1h":                       `--since: must not be negative, as -1h is`,
		"cleanup --older-than -1d":               `--older-than: must not be negative`,
		"list --since 1h --until 2h":             `--since, --until: nothing is between`,
		"export --since 1h --until 2h":           `--since, --until: nothing is between`,
		"failures --until 2h":                    `--since, --until: nothing is between`,
		"list --min-time 5s --max-time 1s":       `--min-time, --max-time: must not be more than the other: exchange them`,
		"list --min-memory 5 --max-memory 1":     `--min-memory, --max-memory: must not be more`,
		"stats --user ada --user bob":            `--user is given twice, and only one value can count: give it once`,
		"list --db sqlite:a.db --db sqlite:b.db": `--db is given twice`,
		"list --db sqlite:a.db --server http://127.0.0.1:1": `--db and --server exclude each other: give one`,
		"list --key st_x":               `--key is for a server: name it with --server, or leave --key out`,
		"list --schema app":             `--schema is for PostgreSQL`,
		"list show":                     `two commands, sandtrail list and sandtrail show: give one at a time`,
		"users list add":                `two commands, sandtrail users list and sandtrail users add: give one at a time`,
		"-v":                            `unknown flag -v, did you mean "--version"? (see`,
		"list -z":                       `unknown flag -z (see`,
		"list -l 5":                     `unknown flag -l, did you mean "--limit"? (see`,
		"list --db trail.db":            `--db: must be sqlite:FILE or postgres://user@host:5432/name, not "trail.db": this file is sqlite:trail.db`,
		"list --db postgres:/h/app":     `--db: must be a URL such as postgres://user@host:5432/name`,
		"list --db postgresql:app":      `--db: must be a URL such as postgres://user@host:5432/name`,
		"list --server localhost:8471":  `server: must be a URL such as https://sandtrail.example.com or http://127.0.0.1:8471, its https:// or http:// included`,
		"serve --listen 8080":           `--listen: must be HOST:PORT such as 127.0.0.1:8471, got "8080"`,
		"demo --listen 8080":            `--listen: must be HOST:PORT such as 127.0.0.1:8471, got "8080"`,
		"LIST":                          `unexpected argument LIST, did you mean "list"?`,
		"list --failed false":           `unexpected argument false: sandtrail list takes flags only`,
		"list --timed-out=maybe":        `--timed-out: bool value must be true, 1, yes, false, 0 or no but got "maybe"`,
		"alert silence --for 0":         `--for: must be longer than 0, such as 2h`,
		"stats --user ada --strategy s": `--strategy and --user can't be used together`,
		"keys create --role admn":       `--role must be one of "ingest","read","auditor","admin" but got "admn"`,
	} {
		var out, complaint bytes.Buffer
		status := run(t.Context(), strings.Fields(typed), bare(&out, &complaint))
		if status != statusUsage || !strings.Contains(complaint.String(), want) || out.Len() > 0 {
			t.Errorf("sandtrail %s: exit status %d, want %d, and to read %q in\n%s%s", typed, status, statusUsage, want, &out, &complaint)
		}
	}
}
