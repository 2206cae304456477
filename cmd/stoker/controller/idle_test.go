package controller

import (
	"context"
	"log/slog"
	"time"

	"stoker.dev/stoker/functions"
)

// quiet is a broker on which nothing is heard: for the parts that decide without one.
type quiet struct{ Bus }

func (quiet) Emit(context.Context, functions.Key, string, string, any) error { return nil }

// newIdle is a controller whose loop does not run.
func newIdle() *Controller {
	c := New(Options{Bus: quiet{}, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
	c.ctx, _ = c.box.Begin(context.Background())
	return c
}
