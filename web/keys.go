package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
)

type keysPage struct {
	adminFrame
	Keys     []keyRow
	Form     api.NewKey // as it was sent, when it could not be used
	Problems map[string]string
	Created  *api.CreatedKey // shown this once
	First    bool            // no key exists: everybody on this machine may do everything
	Changes  bool            // the reader may make and revoke keys
}

// keyRow is one key and what is to be said of it.
type keyRow struct {
	sandtrail.Key
	Made, Used, Expires stamp
	State               string // valid, expired or revoked
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
	var found api.Page[sandtrail.Key]
	if err := v.ask(http.MethodGet, "/v1/keys", nil, nil, &found); err != nil {
		return err
	}
	p.First, p.Keys = len(found.Items) == 0, nil
	for _, k := range slices.Backward(found.Items) {
		row := keyRow{Key: k, Made: p.Stamp(k.CreatedAt), State: "valid"}
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
	slices.SortStableFunc(p.Keys, func(a, b keyRow) int { return order(a) - order(b) })
	return nil
}

func order(k keyRow) int {
	if k.State == "valid" {
		return 0
	}
	return 1
}

// createKey makes a key and shows its secret in the answer, which nobody may
// keep.
func createKey(v *view) error {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, 16<<10)
	form := api.NewKey{
		Name: strings.TrimSpace(v.r.PostFormValue("name")), Role: sandtrail.Role(v.r.PostFormValue("role")),
		UserID: strings.TrimSpace(v.r.PostFormValue("userId")), ExpiresIn: v.r.PostFormValue("expiresIn"),
	}
	p, err := v.keysPage()
	if err != nil {
		return err
	}
	var created api.CreatedKey
	switch err := v.ask(http.MethodPost, "/v1/keys", nil, form, &created); sandtrail.CodeOf(err) {
	case "":
	case sandtrail.CodeInvalid:
		p.Form, p.Problems = form, fieldProblems(err)
		v.render(http.StatusBadRequest, "keys", p)
		return nil
	default:
		return err
	}
	p.Created = &created
	if !p.First { // else the reader has to sign in from now on
		err = p.list(v)
	}
	if err == nil {
		v.w.Header().Set("Cache-Control", "no-store")
		v.render(http.StatusOK, "keys", p)
	}
	return err
}

func revokeKey(v *view) error {
	return v.act("/admin/keys", http.MethodDelete, "/v1/keys/"+url.PathEscape(v.r.PathValue("id")), nil)
}
