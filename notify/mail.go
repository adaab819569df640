package notify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/url"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail/internal/delivery"
)

// Mail sends notices by e-mail, in plain text.
type Mail struct {
	Server *url.URL // smtp://user:password@host:587, or smtps:// for TLS from the start; see ParseMail
	From   string
	To     []string
	Now    func() time.Time

	roots *x509.CertPool // nil: the system's
}

// ParseMail checks what a Mail is made of. The server is written as
// smtp://[user:password@]host[:port], where STARTTLS is used if it is offered,
// and required before a password is sent to another machine, or smtps://….
func ParseMail(server, from string, to []string, now func() time.Time) (Mail, error) {
	u, err := url.Parse(server)
	if err != nil || u.Hostname() == "" || u.Scheme != "smtp" && u.Scheme != "smtps" {
		// The URL may hold a password and is not repeated.
		return Mail{}, fmt.Errorf("mail server: must be a URL such as smtp://user:password@mail.example.com:587 or smtps://…")
	}
	m := Mail{Server: u, From: from, To: to, Now: now}
	if len(to) == 0 {
		return Mail{}, fmt.Errorf("mail: no recipient: name at least one")
	}
	for _, address := range append([]string{from}, to...) {
		if parsed, err := mail.ParseAddress(address); err != nil || parsed.Name != "" {
			return Mail{}, fmt.Errorf("mail: must be an address such as ops@example.com, got %q", address)
		}
	}
	return m, nil
}

// Name is the recipients.
func (m Mail) Name() string { return "mail " + strings.Join(m.To, ",") }

// Notify sends the notice to all recipients in one message.
func (m Mail) Notify(ctx context.Context, n Notice) error {
	ctx, cancel := context.WithTimeout(ctx, delivery.MaxTime)
	defer cancel()
	if err := m.send(ctx, m.message(n)); err != nil {
		return fmt.Errorf("mail server %s: %w", m.Server.Hostname(), err)
	}
	return nil
}

func (m Mail) send(ctx context.Context, message []byte) error {
	client, err := m.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := m.logIn(client); err != nil {
		return err
	}
	if err := client.Mail(m.From); err != nil {
		return err
	}
	for _, to := range m.To {
		if err := client.Rcpt(to); err != nil {
			return err
		}
	}
	w, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(message); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = client.Quit() // the message is taken
	return nil
}

// connect opens a connection that ends with the context.
func (m Mail) connect(ctx context.Context) (*smtp.Client, error) {
	port := cmp.Or(m.Server.Port(), map[string]string{"smtp": "25", "smtps": "465"}[m.Server.Scheme])
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(m.Server.Hostname(), port))
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // a TCP connection takes one
	}
	if m.Server.Scheme == "smtps" {
		conn = tls.Client(conn, m.tls())
	}
	client, err := smtp.NewClient(conn, m.Server.Hostname())
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return client, nil
}

func (m Mail) tls() *tls.Config {
	return &tls.Config{ServerName: m.Server.Hostname(), MinVersion: tls.VersionTLS12, RootCAs: m.roots}
}

func (m Mail) logIn(client *smtp.Client) error {
	if ok, _ := client.Extension("STARTTLS"); ok && m.Server.Scheme == "smtp" {
		if err := client.StartTLS(m.tls()); err != nil {
			return err
		}
	}
	if m.Server.User == nil {
		return nil
	}
	password, _ := m.Server.User.Password()
	// PlainAuth sends nothing in clear to another machine.
	return client.Auth(smtp.PlainAuth("", m.Server.User.Username(), password, m.Server.Hostname()))
}

// message is the notice in the form of RFC 5322. Its Message-ID follows from
// the notice's, so that a repetition is seen to be one.
func (m Mail) message(n Notice) []byte {
	var b bytes.Buffer
	subject := "[" + n.status() + "] " + n.Verdict.Message
	id := sha256.Sum256([]byte(n.ID))
	for _, header := range [][2]string{
		{"From", m.From},
		{"To", strings.Join(m.To, ", ")},
		{"Subject", mime.QEncoding.Encode("utf-8", oneLine(subject))},
		{"Date", m.Now().UTC().Format(time.RFC1123Z)},
		{"Message-ID", fmt.Sprintf("<%x.%s@sandtrail>", id[:12], n.status())},
		{"Auto-Submitted", "auto-generated"},
		{"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Transfer-Encoding", "quoted-printable"},
	} {
		b.WriteString(header[0] + ": " + header[1] + "\r\n")
	}
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	fmt.Fprintf(w, "%s\r\n\r\nRule:   %s\r\nStatus: %s\r\nSince:  %s\r\nWindow: %d executions, %d failed, %d timed out\r\n",
		n.Verdict.Message, n.Verdict.Rule.Name, n.status(), n.Since.UTC().Format(time.RFC3339),
		n.Verdict.Stats.Total, n.Verdict.Stats.Failed, n.Verdict.Stats.TimedOut)
	_ = w.Close() // a bytes.Buffer takes everything
	return b.Bytes()
}

// oneLine keeps what stands in a rule's name from becoming a header.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
