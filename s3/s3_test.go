package s3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
	"go.uber.org/goleak"

	"github.com/sandtrail/sandtrail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server with a bucket named audit, which refuses what is not
// signed by its key. Around stands between it and its clients.
func serve(t *testing.T, around func(http.Handler) http.Handler) (environment map[string]string) {
	backend := s3mem.New()
	if err := backend.CreateBucket(t.Context(), "audit"); err != nil {
		t.Fatal(err)
	}
	handler := gofakes3.New(backend, gofakes3.WithV4Auth(map[string]string{"KEY": "secret"})).Server()
	server := httptest.NewServer(around(handler))
	t.Cleanup(server.Close)
	return map[string]string{"AWS_ENDPOINT_URL_S3": server.URL, "AWS_ACCESS_KEY_ID": "KEY", "AWS_SECRET_ACCESS_KEY": "secret"}
}

func open(t *testing.T, address string, environment map[string]string) *Bucket {
	t.Helper()
	b, err := Open(address, func(name string) string { return environment[name] }, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.http.CloseIdleConnections)
	return b
}

func faithful(h http.Handler) http.Handler { return h }

func TestBucket(t *testing.T) {
	for _, prefix := range []string{"", "/years", "/a b/(ü)+&=!*'/"} {
		t.Run(prefix, func(t *testing.T) {
			b := open(t, "s3://audit"+prefix, serve(t, faithful))
			content := bytes.Repeat([]byte("x"), 100_000)
			if _, err := b.Get(t.Context(), "one"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("get what is not there: %v", err)
			}
			for _, name := range []string{"two", "one", "other"} {
				if err := b.Put(t.Context(), name, bytes.NewReader(content)); err != nil {
					t.Fatal(err)
				}
			}
			if err := b.Put(t.Context(), "one", strings.NewReader("no")); !errors.Is(err, fs.ErrExist) {
				t.Errorf("put what is there: %v", err)
			}
			if err := b.Replace(t.Context(), "two", strings.NewReader("")); err != nil {
				t.Error(err)
			}
			if got := read(t, b, "one"); !bytes.Equal(got, content) {
				t.Errorf("read %d bytes, want %d", len(got), len(content))
			}
			if got := read(t, b, "two"); len(got) > 0 {
				t.Errorf("read %q, want what replaced it", got)
			}
			names, err := b.List(t.Context(), "o")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"one", "other"}, names); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
}

func read(t *testing.T, b *Bucket, name string) []byte {
	t.Helper()
	content, err := b.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	all, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestListReadsEveryPage(t *testing.T) {
	b := open(t, "s3://audit", serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			page := map[string]string{"": "<Key>b</Key>", "next +": "<Key>a</Key>"}[r.URL.Query().Get("continuation-token")]
			next := map[bool]string{true: "<NextContinuationToken>next +</NextContinuationToken>"}[!r.URL.Query().Has("continuation-token")]
			fmt.Fprintf(w, "<ListBucketResult><Contents>%s</Contents>%s</ListBucketResult>", page, next)
		})
	}))
	names, err := b.List(t.Context(), "")
	if diff := cmp.Diff([]string{"a", "b"}, names); diff != "" || err != nil {
		t.Errorf("%v; names (-want +got):\n%s", err, diff)
	}
}

// TestPutReadsBack writes to a server that keeps something else.
func TestPutReadsBack(t *testing.T) {
	b := open(t, "s3://audit", serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				fmt.Fprint(w, "hallo")
			}
		})
	}))
	if err := b.Put(t.Context(), "x", strings.NewReader("hello")); err == nil || !strings.Contains(err.Error(), "is not there as it was written") {
		t.Errorf("put: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	good := serve(t, faithful)
	with := func(name, value string) map[string]string {
		changed := map[string]string{name: value}
		for name, value := range good {
			if _, is := changed[name]; !is {
				changed[name] = value
			}
		}
		return changed
	}
	for name, test := range map[string]struct {
		address     string
		environment map[string]string
		code        sandtrail.Code
		says        string
	}{
		"wrong key":    {"s3://audit", with("AWS_SECRET_ACCESS_KEY", "wrong"), sandtrail.CodeInvalid, "SignatureDoesNotMatch"},
		"no bucket":    {"s3://nothing", good, sandtrail.CodeInvalid, "NoSuchBucket"},
		"no server":    {"s3://audit", with("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1"), sandtrail.CodeUnavailable, "refused"},
		"no name":      {"s3://", good, sandtrail.CodeInvalid, "s3://bucket/prefix"},
		"no keys":      {"s3://audit", nil, sandtrail.CodeInvalid, "AWS_ACCESS_KEY_ID"},
		"bad endpoint": {"s3://audit", with("AWS_ENDPOINT_URL_S3", "minio:9000"), sandtrail.CodeInvalid, "AWS_ENDPOINT_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := Open(test.address, func(name string) string { return test.environment[name] }, time.Now)
			if err == nil {
				defer b.http.CloseIdleConnections()
				_, err = b.List(t.Context(), "")
			}
			if sandtrail.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v; want %s that says %q", err, test.code, test.says)
			}
		})
	}
}

func TestAmazonsAddress(t *testing.T) {
	b := open(t, "s3://audit/years", map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "eu-central-1"})
	if got, want := b.base.String(), "https://audit.s3.eu-central-1.amazonaws.com"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
