package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/sandtrail/sandtrail/durable"
)

// certificateFiles is a certificate that is read again when its file changes,
// so that a renewed one needs no restart.
type certificateFiles struct {
	certificate, key string

	mu       sync.Mutex
	loaded   *tls.Certificate
	modified time.Time // of the certificate that is loaded
}

// get is tls.Config.GetCertificate. While a new file cannot be read, as when
// it is half written, the old one serves on.
func (f *certificateFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.certificate)
	if err == nil && f.loaded != nil && info.ModTime().Equal(f.modified) {
		return f.loaded, nil
	}
	fresh, loadErr := readPair(f.certificate, f.key)
	switch {
	case err == nil && loadErr == nil:
		f.loaded, f.modified = &fresh, info.ModTime()
	case f.loaded == nil:
		return nil, loadErr
	}
	return f.loaded, nil
}

// readPair reads a certificate and its private key. The error names the files.
func readPair(certificate, key string) (pair tls.Certificate, err error) {
	chain, err := durable.ReadNamed(certificate, maxPEM)
	if err != nil {
		return pair, fmt.Errorf("read the certificate: %w", err)
	}
	secret, err := durable.ReadNamed(key, maxPEM)
	if err != nil {
		return pair, fmt.Errorf("read the private key of the certificate: %w", err)
	}
	if pair, err = tls.X509KeyPair(chain, secret); err != nil {
		return pair, fmt.Errorf("read the certificate %s with the key %s: %w", certificate, key, err)
	}
	return pair, nil
}
