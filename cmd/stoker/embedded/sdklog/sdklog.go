// Package sdklog brings the Temporal SDK's log into the platform's.
package sdklog

import (
	"context"
	"log/slog"

	"go.temporal.io/sdk/log"
)

// New logs what the SDK says to l, one level lower up to information: that a worker started is
// news to a developer of the platform, not to its user.
func New(l *slog.Logger) log.Logger {
	return log.NewStructuredLogger(slog.New(lowered{l.Handler()}))
}

type lowered struct{ slog.Handler }

func lower(l slog.Level) slog.Level {
	if l <= slog.LevelInfo {
		return l - (slog.LevelInfo - slog.LevelDebug)
	}
	return l
}

// Enabled implements [slog.Handler].
func (h lowered) Enabled(ctx context.Context, l slog.Level) bool {
	return h.Handler.Enabled(ctx, lower(l))
}

// Handle implements [slog.Handler].
func (h lowered) Handle(ctx context.Context, r slog.Record) error {
	r.Level = lower(r.Level)
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h lowered) WithAttrs(as []slog.Attr) slog.Handler { return lowered{h.Handler.WithAttrs(as)} }

// WithGroup implements [slog.Handler].
func (h lowered) WithGroup(name string) slog.Handler { return lowered{h.Handler.WithGroup(name)} }
