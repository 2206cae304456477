package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// Msg is the client library's message, under the name the rest of stoker uses for it: this is
// the only package that imports the library.
type Msg = nats.Msg

// Header is the client library's, too. Its names are case-sensitive.
type Header = nats.Header

// Subscription is the client library's, too.
type Subscription = nats.Subscription

// CallTimeout bounds a call to the broker whose context has no deadline of its own. A
// healthy broker answers in under a millisecond; a cluster that elects a leader takes up
// to a second.
const CallTimeout = 5 * time.Second

// Bus is one connection to the broker and everything stoker does over it. It is safe for
// concurrent use.
type Bus struct {
	nc  *nats.Conn
	js  jetstream.JetStream
	log *slog.Logger

	calls callMux
	held  atomic.Bool // see Hold
	wakes wakeMux
}

// NewBus makes a bus of a connection somebody else opened. A nil logger discards.
func NewBus(nc *nats.Conn, log *slog.Logger) (*Bus, error) {
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(CallTimeout))
	if err != nil {
		return nil, fmt.Errorf("jetstream on %s: %w", nc.ConnectedUrlRedacted(), err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Bus{nc: nc, js: js, log: log, calls: callMux{token: nuid.Next()}}, nil
}

// Conn is the connection, for subjects that are plain messages.
func (b *Bus) Conn() *nats.Conn { return b.nc }

// JetStream is the connection's JetStream.
func (b *Bus) JetStream() jetstream.JetStream { return b.js }

// Close ends the connection after what was published has left. While the broker is away
// there is nothing to wait for: what was published meanwhile is lost.
func (b *Bus) Close() {
	if b.nc.IsConnected() {
		if err := b.nc.FlushTimeout(CallTimeout); err != nil {
			b.log.Warn("closing NATS connection with unsent messages", "err", err)
		}
	}
	b.nc.Close()
}

// Flush waits until the broker has seen everything published and subscribed before.
func (b *Bus) Flush(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return wrap("flush", b.nc.FlushWithContext(ctx))
}

// bounded gives ctx a deadline where it has none.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, CallTimeout)
}

// Codes of the broker that this package tells apart.
const (
	codeStoreFailed  jetstream.ErrorCode = 10077 // a limit of the stream with DiscardNew, or no space
	codeWrongLastSeq jetstream.ErrorCode = 10071
)

// perSubject tells the limit of one subject from those of its whole stream, which the
// broker reports under one code.
const perSubject = "per subject"

// apiError finds the broker's own answer in err, or nil.
func apiError(err error) *jetstream.APIError {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api
	}
	var js jetstream.JetStreamError
	if errors.As(err, &js) {
		return js.APIError()
	}
	return nil
}

func hasCode(err error, code jetstream.ErrorCode) bool {
	api := apiError(err)
	return api != nil && api.ErrorCode == code
}

// lostRace tells whether a compare-and-swap was refused; a cluster has a code of its own.
func lostRace(err error) bool {
	return hasCode(err, codeWrongLastSeq) || hasCode(err, jetstream.JSErrCodeStreamWrongLastSequenceConstant) ||
		errors.Is(err, jetstream.ErrKeyExists)
}

// fullSubject tells whether a subject is at its limit, fullStream whether its stream is.
func fullSubject(err error) bool {
	return hasCode(err, codeStoreFailed) && strings.Contains(apiError(err).Description, perSubject)
}

func fullStream(err error) bool { return hasCode(err, codeStoreFailed) && !fullSubject(err) }

func noStream(err error) bool {
	return errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, jetstream.ErrStreamNotFound) ||
		errors.Is(err, nats.ErrNoResponders)
}

// wrap says what was tried. Connection errors also become [ErrNotConnected].
func wrap(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionReconnecting),
		errors.Is(err, nats.ErrDisconnected), errors.Is(err, nats.ErrNoServers):
		return fmt.Errorf("%s: %w: %w", what, ErrNotConnected, err)
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%s: %w: %w; send a reference to the data instead", what, ErrTooLarge, err)
	default:
		return fmt.Errorf("%s: %w", what, err)
	}
}
