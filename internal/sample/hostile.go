package sample

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// HostileText is a text that breaks layouts, terminals, spreadsheets or markup.
type HostileText struct{ Name, Text string }

// Hostile are such texts, each of at most 1,024 bytes. Every field that takes
// text must take them and every way of showing it must bear them.
func Hostile() []HostileText {
	return []HostileText{
		{"long", strings.Repeat("longWordWithoutBlanks", 24)},
		{"path", "/usr/lib/python3/dist-packages/" + strings.Repeat("pandas/core/indexes/", 20) + "base.py"},
		{"right to left", "مرحبا بالعالم " + strings.Repeat("السلامعليكم", 20) + " שלום 123"},
		{"emoji", strings.Repeat("👩\u200d💻🏳️\u200d🌈👍🏽", 20)},
		{"combining", "Z" + strings.Repeat("\u0321\u0356\u0312\u0357", 60) + "algo"},
		{"wide", strings.Repeat("全角文字列", 40)},
		{"control", "\x1b[2J\x1b]0;title\x07\x1b[31mred\x08\x0b\x0c\x0e\x7f\r\nsecond line\ttab\u0085\u009b1m"},
		{"bidi", "invoice\u202efdp.exe\u202c \u2066isolated\u2069 \u200erlm\u200f \u061c\u2028\ufeff\u00ad"},
		{"tags", "tag \U000e0041\U000e0042\U000e007f end"},
		{"markup", `</title></script><script>document.title="owned"</script><img src=x onerror="document.title='owned'">&lt;b&gt;'"` + "`"},
		{"template", `{{.Secret}} ${7*7} %s %d %n <!--`},
		{"formula", `=cmd|'/C calc'!A0`},
		{"formula at", "@SUM(1+1)*cmd"},
		{"formula tab", "\t=1+1"},
		{"separators", `a;b,c|d"e'f\` + "\\n"},
		{"blank", " \u00a0\u3000 x \u2003 "},
		{"null", "null"},
		{"number", "1e309"},
	}
}

// HostileDrafts are executions whose every text is hostile, of the users and
// strategies that HostileUsers and HostileStrategies make, and some whose
// figures are the largest or absent. They have no ids and no times.
func HostileDrafts() []sandtrail.Draft {
	most := sandtrail.MaxInt
	drafts := []sandtrail.Draft{
		{ // every nullable field null
			UserID: hostileID(0), StrategyID: hostileID(0), Type: sandtrail.Terminal, Success: new(false), ExecutionTime: new(0),
		}, {
			UserID: hostileID(1), StrategyID: hostileID(1), Type: sandtrail.Validation, Success: new(false), TimedOut: true,
			ExecutionTime: &most, MemoryUsed: &most, CPUUsage: new(float64(sandtrail.MaxCPUUsage)), ErrorCount: &most, WarningCount: &most,
			Classes: []string{}, Metadata: json.RawMessage(`{"errors":[],"run":{"cpuTime":9007199254740993,"memoryPeakBytes":9223372036854775807,"limits":{"timeout":1e308,"memory":2147483647}}}`),
		}, {
			UserID: hostileID(2), StrategyID: hostileID(2), Type: sandtrail.Validation, Success: new(true), ExecutionTime: new(1),
			MemoryUsed: new(0), CPUUsage: new(0.0), Classes: []string{"A"}, Metadata: deepMetadata(),
		},
	}
	for i, h := range Hostile() {
		drafts = append(drafts, sandtrail.Draft{
			UserID: hostileID(i), StrategyID: hostileID(i), Type: sandtrail.Validation, Success: new(false), ExecutionTime: new(3262),
			MemoryUsed: new(64), CPUUsage: new(0.04), Classes: hostileClasses(h.Text), Metadata: hostileMetadata(h.Text),
		})
	}
	return drafts
}

// HostileUsers and HostileStrategies own the HostileDrafts.
func HostileUsers() []sandtrail.User {
	var users []sandtrail.User
	for i, h := range Hostile() {
		user := sandtrail.User{ID: hostileID(i), Email: "." + clip(h.Text, 250) + fmt.Sprintf("@%d.example.com", i), Name: &h.Text}
		if i == 0 {
			user.Name = nil
		}
		users = append(users, user)
	}
	return users
}

// HostileStrategies own the HostileDrafts.
func HostileStrategies() []sandtrail.Strategy {
	var strategies []sandtrail.Strategy
	for i, h := range Hostile() {
		strategies = append(strategies, sandtrail.Strategy{ID: hostileID(i), Name: h.Text})
	}
	return strategies
}

func hostileID(i int) string { return fmt.Sprintf("%d %s", i, clip(Hostile()[i].Text, 240)) }

// clip cuts a text to at most so many bytes of whole characters.
func clip(s string, most int) string {
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}

func hostileClasses(text string) []string {
	return []string{"Plain", strings.TrimSpace(clip(strings.ReplaceAll(text, ",", ";"), sandtrail.MaxClassBytes))}
}

func hostileMetadata(text string) json.RawMessage {
	finding := sandtrail.Finding{
		Severity: text, Message: text, Code: text, Suggestion: text, Line: new(sandtrail.MaxInt), Column: new(sandtrail.MaxInt),
		Traceback: "Traceback (most recent call last):\n  File \"" + text + "\", line 1, in <module>\n    " + text,
	}
	raw, _ := sandtrail.EncodeJSON(map[string]any{ // holds nothing that JSON cannot
		"errors": []sandtrail.Finding{finding}, "warnings": []any{finding},
		"run": map[string]any{
			"status": text, "signal": text, "command": text, "method": text, "sourceSha256": text, text: text,
			"limits": map[string]any{text: text}, "session": map[string]any{"sha256": text, "bytes": 1 << 40},
		},
		text: map[string]any{text: []any{text, nil, true, 1e300}},
	})
	return raw
}

// deepMetadata is nested metadata of nearly the largest size.
func deepMetadata() json.RawMessage {
	const depth = 400
	var b strings.Builder
	for i := range depth {
		fmt.Fprintf(&b, `{"level %d of the nested metadata, which is rather deep":[%d,`, i, i)
	}
	b.WriteString(`"the bottom"`)
	b.WriteString(strings.Repeat("]}", depth))
	flat := make([]string, 2850)
	for i := range flat {
		flat[i] = fmt.Sprintf("value %d", i)
	}
	raw, _ := sandtrail.EncodeJSON(map[string]any{"deep": json.RawMessage(b.String()), "flat": flat})
	return raw
}

// StoreHostile migrates a store and puts the hostile executions with their
// owners into it. It returns the id of the last one.
func StoreHostile(ctx context.Context, store database.Database, now time.Time) (last sandtrail.ID, err error) {
	if _, err := store.Migrate(ctx, now); err != nil {
		return last, err
	}
	for i, user := range HostileUsers() {
		if err := store.PutUser(ctx, user); err != nil {
			return last, err
		}
		if err := store.PutStrategy(ctx, HostileStrategies()[i]); err != nil {
			return last, err
		}
	}
	batch, err := sandtrail.Admission{Now: now}.Admit(HostileDrafts()...)
	if err != nil {
		return last, err
	}
	if _, err := store.Append(ctx, batch); err != nil {
		return last, err
	}
	return batch[len(batch)-1].Execution.ID, store.Maintain(ctx, now)
}
