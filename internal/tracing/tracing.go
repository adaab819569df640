// Package tracing sends spans to an OpenTelemetry collector, as the standard
// variables of the environment say.
package tracing

import (
	"context"
	"fmt"
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Tracing hands out tracers and sends what they record.
type Tracing struct {
	provider *sdk.TracerProvider
}

// Open reads the settings of the environment. Where they ask for no traces
// it returns nil, which is fine to use. Spans that cannot be delivered are
// dropped, and the log is told.
func Open(ctx context.Context, getenv func(string) string, version string, log *slog.Logger) (*Tracing, error) {
	settings, err := read(getenv)
	if err != nil || settings.url == "" {
		return nil, err
	}
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithHost(),
		resource.WithAttributes(attribute.String("service.name", "sandtrail"), attribute.String("service.version", version)),
		resource.WithFromEnv(), // last: its words count
	)
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	exporter, err := otlptrace.New(ctx, newSender(settings, log))
	if err != nil {
		return nil, err
	}
	return &Tracing{sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about))}, nil
}

// Tracer records spans; nil where no collector is named.
func (t *Tracing) Tracer() trace.Tracer {
	if t == nil {
		return nil
	}
	return t.provider.Tracer("github.com/sandtrail/sandtrail")
}

// Close sends what is left, as long as the context allows.
func (t *Tracing) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}
