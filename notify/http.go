package notify

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// send sends a request to the one address that it was made for. A redirection is
// not followed, for the body and its signature are for nobody else.
func send(client *http.Client, request *http.Request) (*http.Response, error) {
	own := http.Client{}
	if client != nil {
		own = *client
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := own.Do(request)
	if err != nil {
		return nil, withoutURL(err)
	}
	if response.StatusCode/100 == 3 {
		_ = response.Body.Close()
		return nil, fmt.Errorf("it answered %s, and redirections are not followed: give the address that it has now", response.Status)
	}
	return response, nil
}

// hostOf names an address in errors and logs: the rest of it often is a secret.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "with a URL that cannot be read"
	}
	return u.Host
}

// withoutURL takes the address off an error of the HTTP library, and with an
// address that cannot be read what is wrong with it, which repeats parts of it.
func withoutURL(err error) error {
	var u *url.Error
	switch {
	case !errors.As(err, &u):
		return err
	case u.Op == "parse":
		return errors.New("its URL cannot be read")
	}
	return u.Err
}
