package tracing

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
)

// The variables of https://opentelemetry.io/docs/specs/otel/protocol/exporter
// that are read here; those of the sampler, the batches and the resource are
// read by OpenTelemetry's own library.
const (
	disabledVar    = "OTEL_SDK_DISABLED"
	exporterVar    = "OTEL_TRACES_EXPORTER"
	commonPrefix   = "OTEL_EXPORTER_OTLP_"
	tracesPrefix   = "OTEL_EXPORTER_OTLP_TRACES_"
	localCollector = "http://localhost:4318"
	tracesPath     = "/v1/traces"
	defaultTimeout = 10 * time.Second
)

// settings say where spans go.
type settings struct {
	url     string // "": nowhere
	header  http.Header
	timeout time.Duration // of one request
	zip     bool
}

// read finds out what the environment asks for: traces only where it names an
// endpoint or the exporter otlp.
func read(getenv func(string) string) (settings, error) {
	env := environment(getenv)
	var s settings
	if strings.EqualFold(getenv(disabledVar), "true") {
		return s, nil
	}
	endpoint, err := env.endpoint()
	if err != nil {
		return s, err
	}
	switch exporter := strings.TrimSpace(getenv(exporterVar)); exporter {
	case "":
	case "none":
		return s, nil
	case "otlp":
		if endpoint == "" {
			endpoint = localCollector + tracesPath
		}
	default:
		return s, refuse(exporterVar, "otlp or none", exporter)
	}
	if endpoint == "" {
		return s, nil
	}
	if name, protocol := env.get("PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		return s, refuse(name, "http/protobuf", protocol)
	}
	if s.header, err = env.header(); err != nil {
		return s, err
	}
	if s.timeout, err = env.timeout(); err != nil {
		return s, err
	}
	s.zip, err = env.zip()
	s.url = endpoint
	return s, err
}

func refuse(name, want, got string) error {
	return sandtrail.Errorf(sandtrail.CodeInvalid, "%s: must be %s, got %q", name, want, got)
}

type environment func(string) string

// get is a setting of traces, or else of all signals, and the variable's name.
func (env environment) get(setting string) (name, value string) {
	if value = strings.TrimSpace(env(tracesPrefix + setting)); value != "" {
		return tracesPrefix + setting, value
	}
	return commonPrefix + setting, strings.TrimSpace(env(commonPrefix + setting))
}

// endpoint is taken as it is when it is that of traces alone, and gets the
// path of traces when it is that of all signals.
func (env environment) endpoint() (string, error) {
	name, value := env.get("ENDPOINT")
	if value == "" {
		return "", nil
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", sandtrail.Errorf(sandtrail.CodeInvalid, "%s: must be a URL such as %s", name, localCollector)
	}
	if name == commonPrefix+"ENDPOINT" {
		u = u.JoinPath(tracesPath)
	}
	return u.String(), nil
}

// header is a list such as "Authorization=Bearer%20x,tenant=a". It may hold
// secrets: an error does not repeat it.
func (env environment) header() (http.Header, error) {
	header := http.Header{}
	name, value := env.get("HEADERS")
	for part := range strings.SplitSeq(value, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		field, text, ok := strings.Cut(part, "=")
		text, err := url.PathUnescape(strings.TrimSpace(text))
		if field = strings.TrimSpace(field); !ok || field == "" || err != nil {
			return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "%s: must be name=value, separated by commas, with values encoded as in URLs", name)
		}
		header.Add(field, text)
	}
	return header, nil
}

func (env environment) timeout() (time.Duration, error) {
	name, value := env.get("TIMEOUT")
	if value == "" {
		return defaultTimeout, nil
	}
	millis, err := strconv.ParseUint(value, 10, 31)
	if err != nil || millis == 0 {
		return 0, refuse(name, "milliseconds", value)
	}
	return time.Duration(millis) * time.Millisecond, nil
}

func (env environment) zip() (bool, error) {
	switch name, value := env.get("COMPRESSION"); value {
	case "", "none":
		return false, nil
	case "gzip":
		return true, nil
	default:
		return false, refuse(name, "gzip or none", value)
	}
}
