package main

import (
	"log/slog"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/notify"
)

// channelFlags say where alerts go besides the log.
type channelFlags struct {
	Webhook       []webAddress `env:"SANDTRAIL_WEBHOOK" placeholder:"URL" help:"Post alerts to this URL; may be given more than once."`
	WebhookForm   string       `default:"webhook" enum:"webhook,alertmanager,cloudevents,slack" placeholder:"webhook" help:"webhook (as Alertmanager sends it), alertmanager (as its API takes it), cloudevents or slack."`
	WebhookSecret string       `env:"SANDTRAIL_WEBHOOK_SECRET" placeholder:"SECRET" help:"Sign them with this secret (HMAC-SHA256)."`
	MailServer    string       `env:"SANDTRAIL_MAIL_SERVER" placeholder:"URL" help:"Mail alerts through smtp://user:password@host:587 (STARTTLS where offered) or smtps://…."`
	MailFrom      string       `env:"SANDTRAIL_MAIL_FROM" placeholder:"ADDRESS" help:"Their sender."`
	MailTo        []string     `env:"SANDTRAIL_MAIL_TO" placeholder:"ADDRESS" help:"Their recipients; may be given more than once."`
}

func (f channelFlags) channels(d *deps, log *slog.Logger) ([]notify.Channel, error) {
	all := []notify.Channel{notify.Log{Logger: log}}
	for _, url := range f.Webhook {
		all = append(all, notify.Webhook{URL: string(url), Form: notify.Form(f.WebhookForm), Secret: f.WebhookSecret, Now: d.now})
	}
	if f.MailServer == "" && f.MailFrom == "" && len(f.MailTo) == 0 {
		return all, nil
	}
	mail, err := notify.ParseMail(f.MailServer, f.MailFrom, f.MailTo, d.now)
	if err != nil {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "--mail-server, --mail-from, --mail-to: %w", err)
	}
	return append(all, mail), nil
}
