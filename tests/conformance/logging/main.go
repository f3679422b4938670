// Prints a line and logs a warning, as functions for aws-lambda-go do.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
)

func handle(_ context.Context, event json.RawMessage) (any, error) {
	fmt.Println("printed")
	slog.New(slog.NewJSONHandler(os.Stdout, nil)).Warn("logged")
	return event, nil
}

func main() {
	lambda.Start(handle)
}
