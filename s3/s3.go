// Package s3 keeps files in a bucket of Amazon S3 or of whatever speaks its
// protocol.
package s3

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/bounded"
)

// Scheme begins the addresses that Open takes.
const Scheme = "s3://"

// Bucket is a bucket, or what is below a prefix in it. Several goroutines may
// use it at the same time.
type Bucket struct {
	address string  // as it was given
	base    url.URL // of the bucket
	prefix  string  // of all keys, "" or with a slash at its end
	region  string
	keys    aws.Credentials
	http    *http.Client
	now     func() time.Time
	signer  *v4.Signer
}

// Open takes an address such as s3://bucket/prefix and the usual variables:
// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, perhaps AWS_SESSION_TOKEN;
// AWS_REGION or AWS_DEFAULT_REGION (us-east-1 where there is none); and for
// other servers than Amazon's AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL. It asks
// the server nothing. Errors are of CodeInvalid.
func Open(address string, getenv func(string) string, now func() time.Time) (*Bucket, error) {
	name, prefix, _ := strings.Cut(strings.TrimPrefix(address, Scheme), "/")
	if !strings.HasPrefix(address, Scheme) || name == "" || strings.ContainsAny(name, "?#@:%\\ ") {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "a bucket must be an address such as s3://bucket/prefix, got %q", address)
	}
	b := &Bucket{
		address: address, prefix: prefix, now: now,
		region: cmp.Or(getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION"), "us-east-1"),
		keys: aws.Credentials{
			AccessKeyID: getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: getenv("AWS_SESSION_TOKEN"),
		},
		http:   newClient(),
		signer: v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }), // S3 escapes once
	}
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		b.prefix += "/"
	}
	if b.keys.AccessKeyID == "" || b.keys.SecretAccessKey == "" {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "%s needs keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", address)
	}
	endpoint := cmp.Or(getenv("AWS_ENDPOINT_URL_S3"), getenv("AWS_ENDPOINT_URL"))
	if endpoint == "" {
		b.base = url.URL{Scheme: "https", Host: name + ".s3." + b.region + ".amazonaws.com"}
		return b, nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL: must be a URL such as https://minio.example.com:9000")
	}
	b.base = url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimSuffix(u.Path, "/") + "/" + name}
	return b, nil
}

// answerTime bounds the wait for an answer once a request is sent.
const answerTime = time.Minute

func newClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = answerTime
	transport.DisableCompression = true // files come as they are
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a signature is for one address
	}
}

// Put stores a file under a name where there is none yet, else it fails with
// fs.ErrExist (servers that do not know conditional writes replace it). It
// reads the file back: when Put returns, the bucket holds what was meant.
func (b *Bucket) Put(ctx context.Context, name string, content io.ReadSeeker) error {
	return b.put(ctx, name, content, http.Header{"If-None-Match": {"*"}})
}

// Replace is Put that replaces what is there.
func (b *Bucket) Replace(ctx context.Context, name string, content io.ReadSeeker) error {
	return b.put(ctx, name, content, http.Header{})
}

func (b *Bucket) put(ctx context.Context, name string, content io.ReadSeeker, header http.Header) error {
	sum, size, err := hashOf(content)
	if err != nil {
		return b.errorf("read what is to be %s: %w", name, err)
	}
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		return b.errorf("read what is to be %s: %w", name, err)
	}
	header.Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum))
	response, err := b.do(ctx, request{
		method: http.MethodPut, key: b.prefix + name, header: header, body: io.NopCloser(content), size: size, sum: hex.EncodeToString(sum),
	})
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return b.errorf("put %s: %w", name, err)
	}
	back, err := b.Get(ctx, name)
	if err != nil {
		return err
	}
	defer back.Close()
	got, _, err := hashOf(io.LimitReader(back, size+1)) // one more is another file
	if err != nil {
		return b.errorf("read %s back: %w", name, err)
	}
	if !slices.Equal(got, sum) {
		return b.errorf("%s is not there as it was written: its SHA-256 is %x, it must be %x", name, got, sum)
	}
	return nil
}

func hashOf(r io.Reader) (sum []byte, size int64, err error) {
	hash := sha256.New()
	size, err = io.Copy(hash, r)
	return hash.Sum(nil), size, err
}

// Get reads a file; fs.ErrNotExist when there is none.
func (b *Bucket) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	response, err := b.do(ctx, request{method: http.MethodGet, key: b.prefix + name})
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

// What is read of a list: bytes of a page, and files in all.
const (
	longestPage = 16 << 20
	mostFiles   = 100_000
)

// List returns the names that begin with a prefix and have no slash, in order.
func (b *Bucket) List(ctx context.Context, prefix string) (names []string, err error) {
	query := url.Values{"list-type": {"2"}, "prefix": {b.prefix + prefix}, "delimiter": {"/"}}
	for {
		var page struct {
			Contents              []struct{ Key string }
			NextContinuationToken string
		}
		response, err := b.do(ctx, request{method: http.MethodGet, query: query})
		if err != nil {
			return nil, err
		}
		err = xml.NewDecoder(bounded.New(response.Body, b.address+": the list", longestPage)).Decode(&page)
		if err = errors.Join(err, response.Body.Close()); err != nil {
			return nil, b.errorf("list: %w", err)
		}
		if len(names)+len(page.Contents) > mostFiles || len(page.Contents) == 0 && page.NextContinuationToken != "" {
			return nil, sandtrail.Errorf(sandtrail.CodeTooLarge, "%s: the list goes on after %d files, or after a page without any: name a prefix for the archive alone", b.address, mostFiles)
		}
		for _, object := range page.Contents {
			names = append(names, strings.TrimPrefix(object.Key, b.prefix))
		}
		if page.NextContinuationToken == "" {
			slices.Sort(names)
			return names, nil
		}
		query.Set("continuation-token", page.NextContinuationToken)
	}
}

// request is a request to the bucket, or to a key in it.
type request struct {
	method, key string
	query       url.Values
	header      http.Header
	body        io.ReadCloser
	size        int64
	sum         string // SHA-256 of the body, hexadecimal; "": of none
}

// emptySum is the SHA-256 of nothing.
const emptySum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// do sends a signed request. An answer that is not 200 is an error.
func (b *Bucket) do(ctx context.Context, r request) (*http.Response, error) {
	u := b.base
	u.Path += "/" + r.key
	u.RawPath, u.RawQuery = escape(u.Path), r.query.Encode()
	signed, err := http.NewRequestWithContext(ctx, r.method, u.String(), r.body)
	if err != nil {
		return nil, b.errorf("%w", err)
	}
	if r.header != nil {
		signed.Header = r.header
	}
	signed.ContentLength = r.size
	sum := cmp.Or(r.sum, emptySum)
	signed.Header.Set("X-Amz-Content-Sha256", sum)
	if err := b.signer.SignHTTP(ctx, b.keys, signed, sum, "s3", b.region, b.now()); err != nil {
		return nil, b.errorf("sign: %w", err)
	}
	response, err := b.http.Do(signed)
	if err != nil {
		return nil, sandtrail.Errorf(sandtrail.CodeUnavailable, "%s: %w", b.address, err)
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		return nil, b.refusal(r, response)
	}
	return response, nil
}

// longestError is how much of an answer that is an error is read.
const longestError = 64 << 10

// refusal is the error that an answer is.
func (b *Bucket) refusal(r request, response *http.Response) error {
	var said struct{ Code, Message string }
	_ = xml.NewDecoder(io.LimitReader(response.Body, longestError)).Decode(&said) // the status says enough
	what := fmt.Sprintf("%s: %s %s: %s %s %s", b.address, r.method, r.key, response.Status, said.Code, said.Message)
	switch status := response.StatusCode; {
	case status == http.StatusNotFound && r.key != "" && said.Code != "NoSuchBucket":
		return fmt.Errorf("%s: %w", what, fs.ErrNotExist)
	case status == http.StatusPreconditionFailed:
		return fmt.Errorf("%s: %w", what, fs.ErrExist)
	case status == http.StatusMovedPermanently || status == http.StatusTemporaryRedirect:
		return sandtrail.Errorf(sandtrail.CodeInvalid, "%s: set AWS_REGION to %s", what, response.Header.Get("X-Amz-Bucket-Region"))
	case status == http.StatusTooManyRequests || status >= http.StatusInternalServerError:
		return sandtrail.Errorf(sandtrail.CodeUnavailable, "%s", what)
	}
	return sandtrail.Errorf(sandtrail.CodeInvalid, "%s", what)
}

func (b *Bucket) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: "+format, append([]any{b.address}, args...)...)
}

// escape escapes a path as signatures demand: all but letters, digits and
// -._~/.
func escape(path string) string {
	var out strings.Builder
	for _, c := range []byte(path) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~/", c) >= 0:
			out.WriteByte(c)
		default:
			fmt.Fprintf(&out, "%%%02X", c)
		}
	}
	return out.String()
}
