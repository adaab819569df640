package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/auth"
)

type keysPage struct {
	adminFrame
	Keys     []keyRow
	Form     api.NewKey // as it was sent, when it could not be used
	Problems map[string]string
	First    bool // no key exists: each user of this machine may do everything
	Changes  bool // the reader may make and revoke keys
}

// keyRow is one key and what is to be said of it.
type keyRow struct {
	auth.Key
	Made, Used, Expires stamp
	State               string // valid, expired or revoked
	Own                 bool   // the reader is signed in with it
	Last                bool   // no other key is an administrator's
}

// Label is what to call the key by.
func (k keyRow) Label() string {
	if k.Name != "" {
		return k.Name
	}
	return k.ID.String()
}

func keys(v *view) error {
	p, err := v.keysPage()
	if err != nil {
		return err
	}
	v.render(http.StatusOK, "keys", p)
	return nil
}

func (v *view) keysPage() (keysPage, error) {
	f, err := v.adminPage("Keys", "/admin/keys")
	if err != nil {
		return keysPage{}, err
	}
	p := keysPage{adminFrame: f, Changes: v.who.administers()}
	return p, p.list(v)
}

// list reads the keys: those that open something first, the newest first.
func (p *keysPage) list(v *view) error {
	var found api.Page[auth.Key]
	if err := v.ask(http.MethodGet, "/v1/keys", nil, nil, &found); err != nil {
		return err
	}
	p.First, p.Keys = len(found.Items) == 0, nil
	for _, k := range slices.Backward(found.Items) {
		row := keyRow{Key: k, Made: p.Stamp(k.CreatedAt), State: "valid", Own: k.ID == v.who.KeyID}
		if k.LastUsedAt != nil {
			row.Used = p.Stamp(*k.LastUsedAt)
		}
		if k.ExpiresAt != nil {
			row.Expires = p.Stamp(*k.ExpiresAt)
		}
		switch {
		case k.RevokedAt != nil:
			row.State = "revoked"
		case !k.ValidAt(v.now):
			row.State = "expired"
		}
		p.Keys = append(p.Keys, row)
	}
	p.markLast()
	slices.SortStableFunc(p.Keys, func(a, b keyRow) int { return order(a) - order(b) })
	return nil
}

// markLast marks the last key that can make another.
func (p *keysPage) markLast() {
	var admins []*keyRow
	for i, k := range p.Keys {
		if k.State == "valid" && k.Role == auth.RoleAdmin {
			admins = append(admins, &p.Keys[i])
		}
	}
	if len(admins) == 1 {
		admins[0].Last = true
	}
}

func order(k keyRow) int {
	if k.State == "valid" {
		return 0
	}
	return 1
}

// The page of a new key, and the cookie of the reader who made it.
const (
	madeKeyPath    = "/admin/keys/made"
	madeKeyPattern = "GET " + madeKeyPath
	madeKeyCookie  = "sandtrail_made"
)

// newKey is a key that was made, on its way to the page that shows it.
type newKey struct {
	Key   api.CreatedKey
	First bool   // before it there was none
	Maker string // the key of the session in which it was made
}

// createKey makes a key and sends the reader to the page that shows its
// secret. The secret waits in memory, for the next minute and this reader.
func createKey(v *view) error {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, 16<<10)
	form := api.NewKey{
		Name: strings.TrimSpace(v.r.PostFormValue("name")), Role: auth.Role(v.r.PostFormValue("role")),
		UserID: strings.TrimSpace(v.r.PostFormValue("userId")), ExpiresIn: v.r.PostFormValue("expiresIn"),
	}
	p, err := v.keysPage()
	if err != nil {
		return err
	}
	if p.First && form.Role != auth.RoleAdmin {
		p.Form, p.Problems = form, map[string]string{"role": "must be admin for the first key: without an administrator's, no other could be made here"}
		v.render(http.StatusUnprocessableEntity, "keys", p)
		return nil
	}
	made := newKey{First: p.First, Maker: v.key}
	switch err := v.ask(http.MethodPost, "/v1/keys", nil, form, &made.Key); sandtrail.CodeOf(err) {
	case "":
	case sandtrail.CodeInvalid:
		p.Form, p.Problems = form, fieldProblems(err)
		v.render(http.StatusUnprocessableEntity, "keys", p)
		return nil
	default:
		return err
	}
	waiting, err := json.Marshal(made)
	if err != nil {
		return err
	}
	v.keepCookie(madeKeyCookie, madeKeyPath, v.made.start(string(waiting)), v.made.length)
	http.Redirect(v.w, v.r, madeKeyPath, http.StatusSeeOther)
	return nil
}

type madeKeyPage struct {
	*frame
	newKey
}

// madeKey shows the secret of a new key, once. It is open to readers who have
// to sign in: the first key closes the door behind the one who made it.
func madeKey(v *view) error {
	_ = v.recognise() // for the navigation
	token := cookie(v.r, madeKeyCookie)
	if token == "" {
		http.Redirect(v.w, v.r, "/admin/keys", http.StatusSeeOther)
		return nil
	}
	p := madeKeyPage{frame: v.frame("New key", "admin")}
	v.keepCookie(madeKeyCookie, madeKeyPath, "", 0)
	err := json.Unmarshal([]byte(v.made.take(token)), &p.newKey)
	if err != nil || p.Maker != v.key {
		return sandtrail.Errorf(sandtrail.CodeNotFound, "This key can no longer be shown. If you did not copy it, revoke it and make another.")
	}
	v.w.Header().Set("Cache-Control", "no-store")
	v.render(http.StatusOK, "made-key", p)
	return nil
}

func revokeKey(v *view) error {
	return v.act("/admin/keys", http.MethodDelete, "/v1/keys/"+url.PathEscape(v.r.PathValue("id")), nil)
}
