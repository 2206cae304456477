package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// hardStop is a context that ends with the next interrupt: the second one of a user who does
// not want to wait.
func hardStop() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}
