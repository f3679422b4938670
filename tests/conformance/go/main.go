// What every client's function does; here for aws-lambda-go.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Do    string `json:"do"`
	Depth int    `json:"depth"`
	Bytes int    `json:"bytes"`
}

func handle(ctx context.Context, raw json.RawMessage) (any, error) {
	var asked event
	if err := json.Unmarshal(raw, &asked); err != nil {
		return nil, err
	}
	switch asked.Do {
	case "trace":
		return trace(ctx, raw), nil
	case "fail":
		return fail(asked.Depth)
	case "crash":
		os.Exit(3)
	case "large":
		return strings.Repeat("x", asked.Bytes), nil
	case "stream":
		return stream(nil), nil
	case "break stream":
		return stream(errors.New("it broke")), nil
	}
	return raw, nil
}

// Every place where the trace can be found.
func trace(ctx context.Context, raw json.RawMessage) map[string]any {
	invocation, _ := lambdacontext.FromContext(ctx)
	return map[string]any{
		"environment": os.Getenv("_X_AMZN_TRACE_ID"),
		"context":     ctx.Value("x-amzn-trace-id"),
		"custom":      invocation.ClientContext.Custom["traceparent"],
		"event":       raw,
	}
}

// An error as it is has no stack here, a panic has; the client ends after one.
func fail(depth int) (any, error) {
	if depth == 0 {
		return nil, errors.New("it broke")
	}
	return dive(depth)
}

func dive(depth int) (any, error) {
	if depth == 0 {
		panic("it broke")
	}
	return dive(depth - 1)
}

// Half of the result, and after a while the other half or an error.
func stream(failure error) *events.LambdaFunctionURLStreamingResponse {
	reader, writer := io.Pipe()
	go func() {
		_, _ = writer.Write([]byte("first half,"))
		time.Sleep(200 * time.Millisecond)
		if failure == nil {
			_, _ = writer.Write([]byte("second half"))
		}
		_ = writer.CloseWithError(failure)
	}()
	return &events.LambdaFunctionURLStreamingResponse{StatusCode: 200, Body: reader}
}

func main() {
	lambda.StartWithOptions(handle, lambda.WithEnableSIGTERM(func() { println("told to end") }))
}
