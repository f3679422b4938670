// A function with OpenTelemetry's own instrumentation in it; here for aws-lambda-go.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"os"
	"strings"

	"github.com/aws/aws-lambda-go/lambda"
	"go.opentelemetry.io/contrib/instrumentation/github.com/aws/aws-lambda-go/otellambda"
	"go.opentelemetry.io/contrib/propagators/aws/xray"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
)

// The event comes back as it is, unless it says "fail".
func handle(_ context.Context, raw json.RawMessage) (json.RawMessage, error) {
	var asked struct {
		Do string `json:"do"`
	}
	if _ = json.Unmarshal(raw, &asked); asked.Do == "fail" {
		return nil, errors.New("it broke")
	}
	return raw, nil
}

// By itself the instrumentation reads nothing: its user says which notation counts, and where it stands.
func parent() []otellambda.Option {
	if strings.Contains(os.Getenv("OTEL_PROPAGATORS"), "xray") {
		return []otellambda.Option{otellambda.WithPropagator(xray.Propagator{}), otellambda.WithEventToCarrier(environment)}
	}
	return []otellambda.Option{otellambda.WithPropagator(propagation.TraceContext{}), otellambda.WithEventToCarrier(headers)}
}

// As the instrumentation's own package xrayconfig does it, for every kind of event.
func environment([]byte) propagation.TextMapCarrier {
	return propagation.MapCarrier{"X-Amzn-Trace-Id": os.Getenv("_X_AMZN_TRACE_ID")}
}

func headers(raw []byte) propagation.TextMapCarrier {
	var event struct {
		Headers propagation.MapCarrier `json:"headers"`
	}
	_ = json.Unmarshal(raw, &event)
	return event.Headers
}

func main() {
	exporter, err := otlptracehttp.New(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter))
	options := append(parent(), otellambda.WithTracerProvider(provider), otellambda.WithFlusher(provider))
	lambda.Start(otellambda.InstrumentHandler(handle, options...))
}
