package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A renewed certificate is served without a restart; while it is half written
// the old one is.
func TestRenewedCertificateIsServed(t *testing.T) {
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	when := time.Now().Add(-time.Hour)
	put := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		when = when.Add(time.Second) // a file's time may be as coarse as that
		if err := os.Chtimes(name, when, when); err != nil {
			t.Fatal(err)
		}
	}
	issue := func(serial int64) []byte {
		t.Helper()
		issued, secret := selfSigned(t, serial)
		put(key, secret)
		return issued
	}
	put(certificate, issue(1))
	s := startServe(t, "sqlite:"+filepath.Join(dir, "served.db"), "--tls-cert", certificate, "--tls-key", key)
	address := strings.TrimPrefix(s.url, "http://")
	if got := servedSerial(t, address); got != 1 {
		t.Fatalf("certificate %d is served, want the first", got)
	}
	renewed := issue(2)
	put(certificate, renewed[:len(renewed)/2])
	if got := servedSerial(t, address); got != 1 {
		t.Errorf("while the second is half written, certificate %d is served", got)
	}
	put(certificate, renewed)
	if got := servedSerial(t, address); got != 2 {
		t.Errorf("certificate %d is served, want the second", got)
	}
	if status := s.stop(); status != 0 {
		t.Errorf("serve ended with status %d", status)
	}
}

// servedSerial is the number of the certificate that a server shows.
func servedSerial(t *testing.T, address string) int64 {
	t.Helper()
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // looked at, not trusted
	conn, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// selfSigned makes a certificate for this machine and its key, as PEM.
func selfSigned(t *testing.T, serial int64) (certificate, key []byte) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	issued, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issued}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}
