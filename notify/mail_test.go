package notify

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http/httptest"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
)

// postOffice is an SMTP server that takes one message.
type postOffice struct {
	listener net.Listener
	tls      *tls.Config // for STARTTLS; nil: not offered
	refuse   string      // the command that it refuses
	talk     chan []string
}

// open listens, with TLS from the start if a configuration for it is given.
func (p *postOffice) open(t *testing.T, secure *tls.Config) {
	t.Helper()
	var err error
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if secure != nil {
		p.listener = tls.NewListener(p.listener, secure)
	}
	p.talk = make(chan []string, 1)
	go p.serve()
	t.Cleanup(func() { p.listener.Close() })
}

func (p *postOffice) serve() {
	conn, err := p.listener.Accept()
	if err != nil {
		return
	}
	defer func() { conn.Close() }()
	var heard []string
	defer func() { p.talk <- heard }()
	lines := bufio.NewReader(conn)
	say := func(line string) { _, _ = io.WriteString(conn, line+"\r\n") }
	say("220 post office")
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		heard = append(heard, line)
		verb, _, _ := strings.Cut(line, " ")
		switch verb {
		case p.refuse:
			say("550 not here")
		case "EHLO":
			if p.tls != nil {
				say("250-STARTTLS")
			}
			say("250 AUTH PLAIN")
		case "AUTH":
			say("235 welcome")
		case "STARTTLS":
			say("220 go on")
			conn = tls.Server(conn, p.tls)
			p.tls, lines = nil, bufio.NewReader(conn)
		case "DATA":
			say("354 go on")
			for line != ".\r\n" {
				if line, err = lines.ReadString('\n'); err != nil {
					return
				}
				heard = append(heard, strings.TrimRight(line, "\r\n"))
			}
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 well")
		}
	}
}

func mailTo(t *testing.T, scheme string, p *postOffice) Mail {
	t.Helper()
	m, err := ParseMail(scheme+"://me:secret@"+p.listener.Addr().String(), "sandtrail@example.com",
		[]string{"ops@example.com", "ada@example.com"}, func() time.Time { return noon })
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMail(t *testing.T) {
	certificate := httptest.NewTLSServer(nil)
	defer certificate.Close()
	secure := &tls.Config{Certificates: certificate.TLS.Certificates}
	roots := x509.NewCertPool()
	roots.AddCert(certificate.Certificate())
	for _, test := range []struct {
		name, scheme    string
		starttls, fully *tls.Config
	}{
		{"in clear to this machine", "smtp", nil, nil},
		{"STARTTLS", "smtp", secure, nil},
		{"TLS from the start", "smtps", nil, secure},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := &postOffice{tls: test.starttls}
			p.open(t, test.fully)
			m := mailTo(t, test.scheme, p)
			m.roots = roots
			if err := m.Notify(t.Context(), notice(true)); err != nil {
				t.Fatal(err)
			}
			checkTalk(t, <-p.talk)
		})
	}
}

func checkTalk(t *testing.T, talk []string) {
	t.Helper()
	all := strings.Join(talk, "\n")
	for _, want := range []string{
		"AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00me\x00secret")),
		"MAIL FROM:<sandtrail@example.com>", "RCPT TO:<ops@example.com>", "RCPT TO:<ada@example.com>", "DATA", "QUIT",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("%q was not said:\n%s", want, all)
		}
	}
	_, text, _ := strings.Cut(all, "\nDATA\n")
	got, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
	want := "[firing] high-failure-rate: 90 % of the executions of the last 1h failed (9 of 10, threshold 30 %)"
	if err != nil || subject != want {
		t.Errorf("subject %q, %v", subject, err)
	}
	if date, err := got.Header.Date(); err != nil || !date.Equal(noon) {
		t.Errorf("date %v, %v", date, err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(got.Body))
	if err != nil || !strings.Contains(string(body), "Since:  2026-11-24T12:00:00Z") {
		t.Errorf("body %q, %v", body, err)
	}
}

func TestMailThatIsRefused(t *testing.T) {
	for _, verb := range []string{"AUTH", "MAIL", "RCPT", "DATA"} {
		p := &postOffice{refuse: verb}
		p.open(t, nil)
		err := mailTo(t, "smtp", p).Notify(t.Context(), notice(true))
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "not here") {
			t.Errorf("%s refused: %v", verb, err)
		}
		p.listener.Close()
	}
	p := &postOffice{}
	p.open(t, nil)
	m := mailTo(t, "smtp", p)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Notify(ctx, notice(true)); err == nil {
		t.Error("sent after the end")
	}
}

func TestMailHeadersCannotBeForged(t *testing.T) {
	v := alert.Rule{Name: "a\r\nBcc: eve@example.com", Metric: alert.FailureRate, Window: time.Hour}.Evaluate(sandtrail.WindowStats{Total: 20, Failed: 20})
	m := Mail{From: "a@example.com", To: []string{"b@example.com"}, Now: func() time.Time { return noon }}
	got, err := mail.ReadMessage(strings.NewReader(string(m.message(NewNotice(true, noon, v)))))
	if err != nil || got.Header.Get("Bcc") != "" || len(got.Header) != 9 {
		t.Errorf("headers %v, %v", got.Header, err)
	}
}

func TestParseMailRefuses(t *testing.T) {
	for _, test := range [][3]string{
		{"mail.example.com:25", "a@example.com", "b@example.com"},
		{"http://mail.example.com", "a@example.com", "b@example.com"},
		{"smtp://", "a@example.com", "b@example.com"},
		{"smtp://mail.example.com", "somebody", "b@example.com"},
		{"smtp://mail.example.com", "a@example.com", "B <b@example.com>"},
		{"smtp://mail.example.com", "a@example.com", "b@example.com\r\nBcc: c@example.com"},
	} {
		if _, err := ParseMail(test[0], test[1], []string{test[2]}, time.Now); err == nil {
			t.Errorf("%v was taken", test)
		}
	}
	if _, err := ParseMail("smtp://mail.example.com", "a@example.com", nil, time.Now); err == nil {
		t.Error("mail to nobody was taken")
	}
}
