package storetest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// strangeTexts are such that an index, a query language or a rule for case could
// read otherwise than letter by letter.
func strangeTexts() []string {
	return []string{
		"%", "_", `\`, `\\`, `\%`, "'", `"`, `""`, "100%", "a_b", "*", "er*", "^", "+", "-", ":", "(", ")", "NEAR(",
		"AND", `AND "x"`, "a AND b", "NOT", "OR", `NEAR("a" "b", 5)`, "metadata:", "{metadata}", "col : x", "--", ";", "$1", "?", "\n", "\t",
		"İ", "ı", "I", "i", "Istanbul", "ISTANBUL", "istanbul", "İstanbul", "ıstanbul", "straße", "STRASSE", "ẞtraße", "Σίσυφος", "ΣΊΣΥΦΟΣ", "ς", "\u212a", "K", "k",
		"ärger", "ÄRGER", "Ärger", "a\u0308rger", "e\u0301", "é", "\u0301", "ошибка", "ОШИБКА", "错误", "错误码", "エラー", "ｅｒｒ", "ﬁle", "file",
		"😀", "👩\u200d💻", "👩\u200d💻 failed", "🏳️\u200d🌈", "\u200b", "\u202e", "\ufeff", "\ufffd", "x\u00ady", "  ", " a ", "ab ", " ab",
		"Error", "err", "er", "e", "terror", "mirror", "rorre", "ERROR: 42", "0x7f", "deadbeef", "DEADBEEF", "dead beef", "null", "{}", `{"m"`, `"}`,
		strings.Repeat("a", 3), strings.Repeat("a", 1023), strings.Repeat("a", 1022) + "b", "b" + strings.Repeat("a", 1022), strings.Repeat("ab", 511),
		strings.Repeat("é", 511), strings.Repeat("😀", 255),
	}
}

// RunSearch is the part of Run that searches for text. A store that looks at few
// executions for a page passes it too.
func RunSearch(t *testing.T, open func(t *testing.T) database.Database) {
	run(t, open, []test{{"List/TextOfAnyKind", textOfAnyKind}})
}

// search reads all pages of a query, whichever executions are on which, and
// compares.
func (k *kit) search(q sandtrail.Query) {
	k.Helper()
	var found [2][]sandtrail.Execution
	for i, s := range []sandtrail.Store{k.db, k.model} {
		for q := q; ; {
			page, err := s.Executions(k.ctx, q, k.now)
			if err != nil {
				k.Fatalf("%+v: %v", q, err)
			}
			found[i] = append(found[i], page.Items...)
			if q.Cursor = page.NextCursor; q.Cursor == "" {
				break
			}
		}
	}
	if diff := difference(found[1], found[0]); diff != "" {
		k.Errorf("%+v (-model +store)\n%s", q, diff)
	}
}

// textOfAnyKind looks for strange texts, and pieces of them, in metadata that
// holds them, before upkeep and behind it, and among few of many.
func textOfAnyKind(k *kit) {
	k.putUsers("u", "v")
	k.putStrategies("s")
	texts := strangeTexts()
	r := rand.New(rand.NewPCG(1, 2))
	some := func() string { return texts[r.IntN(len(texts))] }
	var drafts []sandtrail.Draft
	add := func(text string) {
		raw, err := json.Marshal(text)
		if err != nil {
			k.Fatal(err)
		}
		at := noon.Add(-time.Duration(r.IntN(40*24*3600)) * time.Second)
		drafts = append(drafts, draft([]string{"u", "v"}[r.IntN(2)], "s", at, failed, metadata(fmt.Sprintf(`{"m":%s}`, raw))))
	}
	for _, text := range texts {
		add(text)
		add(some() + text + some())
	}
	k.append(drafts[:len(drafts)/2]...)
	search := func(text string) {
		f := sandtrail.Filter{Text: text}
		if r.IntN(3) == 0 {
			f.UserID, f.Since = "u", noon.Add(-20*24*time.Hour)
		}
		k.search(sandtrail.Query{Filter: f, Limit: 10 + r.IntN(200)})
	}
	all := func() {
		for _, text := range texts {
			if r.IntN(3) > 0 {
				continue
			}
			runes := []rune(text)
			from := r.IntN(len(runes))
			search([]string{text, swapCase(text)}[r.IntN(2)])
			search(string(runes[from : from+1+r.IntN(len(runes)-from)]))
		}
	}
	if err := k.db.Maintain(k.ctx, k.now); err != nil {
		k.Fatal(err)
	}
	k.append(drafts[len(drafts)/2:]...) // half of it is in an index, half is not yet
	all()
	if err := k.db.Maintain(k.ctx, k.now); err != nil {
		k.Fatal(err)
	}
	all()
	k.sound()
}

// swapCase changes the case of the ASCII letters.
func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r ^ 0x20
		}
		return r
	}, s)
}
