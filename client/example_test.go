package client_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/client"
)

// A server is a store: whatever works with a database works with it.
func ExampleOpen() {
	c, err := client.Open("https://sandtrail.example.com", "st_…")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	health, err := c.StrategyHealth(context.Background(), "momentum", 100)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(health.TotalValidations)
}

// A program that must not lose records while the server is away, and must not
// wait for it either.
func ExampleClient_Recorder_spool() {
	c, err := client.Open("https://sandtrail.example.com", "st_…")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	recorder, err := c.Recorder(client.RecorderOptions{
		Policy: client.Spool, Dir: "/var/lib/sandbox/spool", MaxBytes: 256 << 20, MaxAge: 24 * time.Hour, Log: slog.Default(),
	})
	if err != nil {
		log.Fatal(err)
	}
	err = recorder.Record(context.Background(), sandtrail.Draft{
		UserID: "ada", StrategyID: "momentum", Type: sandtrail.Validation, Success: new(true), ExecutionTime: new(1204),
	})
	if err != nil {
		slog.Error("not recorded", "error", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := recorder.Close(ctx); err != nil {
		slog.Warn("the rest is delivered next time", "error", err)
	}
}

// A program that must know that its record is kept before it goes on.
func ExampleClient_Recorder_strict() {
	c, err := client.Open("https://sandtrail.example.com", "st_…")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	recorder, err := c.Recorder(client.RecorderOptions{Policy: client.Strict})
	if err != nil {
		log.Fatal(err)
	}
	err = recorder.Record(context.Background(), sandtrail.Draft{
		UserID: "ada", StrategyID: "momentum", Type: sandtrail.Terminal, Success: new(false), ExecutionTime: new(30_000), TimedOut: true,
	})
	if err != nil {
		log.Fatal(err)
	}
}
