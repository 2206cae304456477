package temporald

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// bridge sends the server's log to slog, one or two levels down: what Temporal calls an
// error is mostly a retry that works. A fatal message ends what it comes from, not the
// process.
type bridge struct {
	slog     *slog.Logger
	building *atomic.Bool // while the server is put together, all in guard's goroutine
	quiet    *atomic.Bool // while stopping, when everything loses its connection
	failed   chan error   // holds the first fatal message
}

// fatal is what building the server panics with.
type fatal string

var (
	_ log.Logger     = (*bridge)(nil)
	_ log.WithLogger = (*bridge)(nil)
)

func newBridge(l *slog.Logger) *bridge {
	return &bridge{slog: l, building: new(atomic.Bool), quiet: new(atomic.Bool), failed: make(chan error, 1)}
}

// With returns a logger that adds tags to every line.
func (b *bridge) With(tags ...tag.Tag) log.Logger {
	child := *b
	child.slog = b.slog.With(attrs(tags)...)
	return &child
}

// Debug lines are about Temporal's inside and dropped.
func (b *bridge) Debug(string, ...tag.Tag) {}

// Info lines are about Temporal's inside, too.
func (b *bridge) Info(msg string, tags ...tag.Tag) { b.write(slog.LevelDebug, msg, tags) }

// Warn lines are mostly about settings that do not matter to one process.
func (b *bridge) Warn(msg string, tags ...tag.Tag) { b.write(slog.LevelDebug, msg, tags) }

func (b *bridge) Error(msg string, tags ...tag.Tag)  { b.write(slog.LevelWarn, msg, tags) }
func (b *bridge) DPanic(msg string, tags ...tag.Tag) { b.write(slog.LevelError, msg, tags) }

// Panic must not return.
func (b *bridge) Panic(msg string, tags ...tag.Tag) {
	b.write(slog.LevelError, msg, tags)
	panic(msg)
}

// Fatal must not return either. It ends the building, or the goroutine of one service, which
// the platform learns from Server.Failed.
func (b *bridge) Fatal(msg string, tags ...tag.Tag) {
	text := withError(msg, tags)
	if b.building.Load() {
		panic(fatal(text)) // Goexit would become a nil panic in a sync.OnceValue of Temporal
	}
	b.write(slog.LevelError, msg, tags)
	select {
	case b.failed <- errors.New(text):
	default: // the first one is the cause
	}
	runtime.Goexit()
}

func withError(msg string, tags []tag.Tag) string {
	for _, t := range tags {
		if t.Key() == "error" {
			return fmt.Sprintf("%s: %v", msg, t.Value())
		}
	}
	return msg
}

func (b *bridge) write(level slog.Level, msg string, tags []tag.Tag) {
	ctx := context.Background()
	if b.quiet.Load() {
		level = slog.LevelDebug
	}
	if b.slog.Enabled(ctx, level) {
		b.slog.Log(ctx, level, msg, attrs(tags)...)
	}
}

// hush turns the noise of a shutdown down.
func (b *bridge) hush() { b.quiet.Store(true) }

// guard runs build and then start, and turns a fatal message in either into an error.
func (b *bridge) guard(build, start func() error) error {
	err := b.build(build)
	if err == nil {
		err = start()
	}
	select {
	case cause := <-b.failed:
		return fmt.Errorf("%w: %w", ErrStart, cause)
	default:
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	return nil
}

func (b *bridge) build(build func() error) (err error) {
	b.building.Store(true)
	defer b.building.Store(false)
	defer func() {
		switch r := recover().(type) {
		case nil:
		case fatal:
			err = errors.New(string(r))
		default:
			panic(r)
		}
	}()
	return build()
}

func attrs(tags []tag.Tag) []any {
	out := make([]any, 0, len(tags))
	for _, t := range tags {
		out = append(out, slog.Any(t.Key(), t.Value()))
	}
	return out
}
