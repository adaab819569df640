// Package delivery sends requests to addresses that the operator of a server gave,
// and keeps what is secret in them out of errors.
package delivery

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// MaxTime bounds one delivery.
const MaxTime = 10 * time.Second

// Send sends a request to the one address that it was made for. A redirection is
// not followed, for the body and its signature are for that address alone.
func Send(client *http.Client, request *http.Request) (*http.Response, error) {
	own := http.Client{}
	if client != nil {
		own = *client
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := own.Do(request)
	if err != nil {
		return nil, WithoutURL(err)
	}
	if response.StatusCode/100 == 3 {
		_ = response.Body.Close()
		return nil, fmt.Errorf("it answered %s, and redirections are not followed: give the address that it has now", response.Status)
	}
	return response, nil
}

// HostOf names an address in errors and logs: the rest of it often is a secret.
func HostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "with a URL that cannot be read"
	}
	return u.Host
}

// WithoutURL takes the address off an error of the HTTP library, and with an
// address that cannot be read what is wrong with it, which repeats parts of it.
func WithoutURL(err error) error {
	var u *url.Error
	switch {
	case !errors.As(err, &u):
		return err
	case u.Op == "parse":
		return errors.New("its URL cannot be read")
	}
	return u.Err
}
