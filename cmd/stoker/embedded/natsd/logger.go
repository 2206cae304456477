package natsd

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
)

// bridge sends the server's log to slog, and keeps the first fatal message, since an
// embedded server must not end the process it lives in. It keeps the first failed write too:
// the server tells of it nowhere else until somebody publishes to the same stream.
type bridge struct {
	log *slog.Logger

	mu    sync.Mutex
	fatal string
	write string
}

// writeFailed is in the message of the server with which a stream ends taking messages.
const writeFailed = "critical write error"

var _ server.Logger = (*bridge)(nil)

// Noticef is where the server tells some thirty lines about itself at each start.
func (b *bridge) Noticef(format string, v ...any) { b.log.Debug(fmt.Sprintf(format, v...)) }

func (b *bridge) Warnf(format string, v ...any) { b.log.Warn(fmt.Sprintf(format, v...)) }

// Errorf is a warning here: most are a client's mistakes, such as a subject it may not use.
func (b *bridge) Errorf(format string, v ...any) {
	msg := fmt.Sprintf(format, v...)
	b.log.Warn(msg)
	if !strings.Contains(strings.ToLower(msg), writeFailed) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.write == "" {
		b.write = msg
	}
}

func (b *bridge) Debugf(format string, v ...any) { b.log.Debug(fmt.Sprintf(format, v...)) }
func (b *bridge) Tracef(string, ...any)          {}

func (b *bridge) Fatalf(format string, v ...any) {
	msg := fmt.Sprintf(format, v...)
	b.log.Error(msg)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fatal == "" {
		b.fatal = msg
	}
}

func (b *bridge) fatalMessage() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fatal
}

// writeFailure is the first failed write, or "".
func (b *bridge) writeFailure() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.write
}
