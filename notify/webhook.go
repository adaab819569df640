package notify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/sandtrail/sandtrail/internal/delivery"
)

// Form is how a webhook's body is written.
type Form string

// The forms.
const (
	// AlertmanagerWebhook is what Alertmanager sends to its own webhooks.
	AlertmanagerWebhook Form = "webhook"
	// AlertmanagerAPI is what Alertmanager takes at /api/v2/alerts.
	AlertmanagerAPI Form = "alertmanager"
	// CloudEvents is a CloudEvents 1.0 event in structured JSON.
	CloudEvents Form = "cloudevents"
	// Slack is a message that Slack and its likes take.
	Slack Form = "slack"
)

// SignatureHeader holds "t=SECONDS,v1=HEX" where HEX is the HMAC-SHA256 of
// "SECONDS.BODY" under the webhook's secret. Receivers compare it and refuse
// old times.
const SignatureHeader = "Sandtrail-Signature"

// Webhook posts notices to a URL.
type Webhook struct {
	URL    string
	Form   Form         // "": AlertmanagerWebhook
	Secret string       // "": not signed
	HTTP   *http.Client // nil: one that waits ten seconds
	Now    func() time.Time
}

// Name is the webhook's form and host, and a digest that tells several on one
// host apart: the rest of a URL often is a secret.
func (w Webhook) Name() string {
	sum := sha256.Sum256([]byte(w.URL))
	return fmt.Sprintf("%s %s #%x", cmp.Or(w.Form, AlertmanagerWebhook), w.host(), sum[:4])
}

// Forgets is true of Alertmanager, which takes an alert that it hears nothing
// of any more for resolved, and which keeps alerts in memory alone.
func (w Webhook) Forgets() bool { return w.Form == AlertmanagerAPI }

// Notify posts a notice once. Repeating it is the caller's.
func (w Webhook) Notify(ctx context.Context, n Notice) error {
	body, contentType, err := w.encode(n)
	if err != nil {
		return fmt.Errorf("webhook %s: %w", w.host(), err)
	}
	return w.Post(ctx, body, contentType, n.ID)
}

// Post posts a body once; the key is the same when it is repeated.
func (w Webhook) Post(ctx context.Context, body []byte, contentType, key string) error {
	ctx, cancel := context.WithTimeout(ctx, delivery.MaxTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("webhook %s: %w", w.host(), delivery.WithoutURL(err))
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("User-Agent", "sandtrail")
	request.Header.Set("Idempotency-Key", key)
	if w.Secret != "" {
		request.Header.Set(SignatureHeader, Sign(w.Secret, w.Now(), body))
	}
	response, err := delivery.Send(w.HTTP, request)
	if err != nil {
		return fmt.Errorf("webhook %s: %w", w.host(), err)
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10)
	if response.StatusCode >= 300 {
		return fmt.Errorf("webhook %s answered %s", w.host(), response.Status)
	}
	return nil
}

func (w Webhook) host() string { return delivery.HostOf(w.URL) }

// Sign is the value of SignatureHeader for a body sent at a time.
func Sign(secret string, at time.Time, body []byte) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(seconds + "."))
	mac.Write(body)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

func (w Webhook) encode(n Notice) (body []byte, contentType string, err error) {
	contentType = "application/json"
	var value any
	switch w.Form {
	case AlertmanagerWebhook, "":
		value = webhookOf(n)
	case AlertmanagerAPI:
		value = []amAlert{alertOf(n)}
	case CloudEvents:
		value, contentType = eventOf(n), "application/cloudevents+json"
	case Slack:
		value = map[string]string{"text": slackText(n)}
	default:
		return nil, "", fmt.Errorf("unknown form %q", w.Form)
	}
	body, err = json.Marshal(value)
	return body, contentType, err
}

// amWebhook is version 4 of Alertmanager's webhook body.
type amWebhook struct {
	Version           string            `json:"version"`
	GroupKey          string            `json:"groupKey"`
	Status            string            `json:"status"`
	Receiver          string            `json:"receiver"`
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	ExternalURL       string            `json:"externalURL"`
	Alerts            []amAlert         `json:"alerts"`
}

// amAlert is one alert, in both of Alertmanager's forms.
type amAlert struct {
	Status      string            `json:"status,omitempty"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt,omitzero"`
	Fingerprint string            `json:"fingerprint,omitempty"`
}

func webhookOf(n Notice) amWebhook {
	alert := alertOf(n)
	alert.Status, alert.Fingerprint = n.status(), fingerprint(n.Verdict.Rule.Name)
	return amWebhook{
		Version: "4", GroupKey: n.Verdict.Rule.Name, Status: n.status(), Receiver: "sandtrail",
		GroupLabels: map[string]string{"alertname": n.Verdict.Rule.Name}, CommonLabels: alert.Labels,
		CommonAnnotations: alert.Annotations, Alerts: []amAlert{alert},
	}
}

func alertOf(n Notice) amAlert {
	rule := n.Verdict.Rule
	labels := map[string]string{"alertname": rule.Name, "job": "sandtrail", "metric": string(rule.Metric)}
	if rule.UserID != "" {
		labels["user"] = rule.UserID
	}
	if rule.StrategyID != "" {
		labels["strategy"] = rule.StrategyID
	}
	alert := amAlert{Labels: labels, Annotations: map[string]string{"summary": n.Verdict.Message}, StartsAt: n.Since.UTC()}
	if !n.Firing {
		alert.EndsAt = n.Since.UTC()
	}
	return alert
}

func fingerprint(rule string) string {
	sum := sha256.Sum256([]byte(rule))
	return hex.EncodeToString(sum[:8])
}

// cloudEvent is a CloudEvents 1.0 event.
type cloudEvent struct {
	SpecVersion string    `json:"specversion"`
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	Subject     string    `json:"subject"`
	Time        time.Time `json:"time"`
	Data        any       `json:"data"`
}

func eventOf(n Notice) cloudEvent {
	return cloudEvent{
		SpecVersion: "1.0", ID: n.ID, Source: "/sandtrail", Type: "sandtrail.alert." + n.status(),
		Subject: n.Verdict.Rule.Name, Time: n.Since.UTC(), Data: n.Verdict,
	}
}

func slackText(n Notice) string {
	if n.Firing {
		return ":rotating_light: " + n.Verdict.Message
	}
	return ":white_check_mark: resolved: " + n.Verdict.Message
}
