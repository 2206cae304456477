package events

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// How a connection finds out that its broker is gone, and comes back to it.
const (
	pingInterval  = 5 * time.Second        // a broken link shows in 5 to 10 s; the library's own 2 min outlive a drain
	pingsOut      = 2                      // one lost answer is no reason to reconnect
	reconnectWait = 250 * time.Millisecond // a restarted platform is up in under a second
	connectWithin = 2 * time.Second        // of one attempt
)

// ConnectOptions say who connects and how patient it is.
type ConnectOptions struct {
	Name        string       // shown by the broker, such as "stoker-agent default/tinylm/3f9a"
	InboxPrefix string       // own answers arrive below it; agents use [AgentInbox]. Empty: _INBOX
	Logger      *slog.Logger // nil discards
	// Once fails where the first attempt fails, as a command line should. Otherwise the
	// connection is made in the background, and retried until the bus is closed.
	Once bool
	// InProcess reaches an embedded broker without a socket.
	InProcess nats.InProcessConnProvider
	// OnState is told whether the connection is up, at every change. It must not block.
	OnState func(connected bool)
}

// Connect opens a connection that never gives up: a platform that restarts finds its
// agents again. Use [Bus.WaitConnected] to wait for the first one.
func Connect(a NATSAccess, o ConnectOptions) (*Bus, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	address := a.URL
	if address == "" && o.InProcess == nil {
		address = nats.DefaultURL
	}
	nc, err := nats.Connect(address, natsOptions(a, o)...)
	if err != nil {
		return nil, connectError(address, err)
	}
	return NewBus(nc, o.Logger)
}

// connectError adds what to do next.
func connectError(address string, err error) error {
	hint := "is the broker running, and is the address right? (STOKER_NATS_URL)"
	if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) {
		hint = "check the token or credentials file"
	}
	return fmt.Errorf("%w: %s: %w; %s", ErrNotConnected, redact(address), err, hint)
}

// WaitConnected returns once the connection is up, or ctx is done.
func (b *Bus) WaitConnected(ctx context.Context) error {
	status := b.nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer b.nc.RemoveStatusListener(status)
	for !b.nc.IsConnected() {
		if b.nc.IsClosed() {
			return fmt.Errorf("%w: closed: %w", ErrNotConnected, nats.ErrConnectionClosed)
		}
		select {
		case <-status:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w, last error: %w", ErrNotConnected, ctx.Err(), b.lastError())
		}
	}
	return nil
}

func (b *Bus) lastError() error {
	if err := b.nc.LastError(); err != nil {
		return err
	}
	return errors.New("none")
}

func natsOptions(a NATSAccess, o ConnectOptions) []nats.Option {
	opts := []nats.Option{
		nats.Name(o.Name),
		nats.Timeout(connectWithin),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectWait, reconnectWait),
		nats.RetryOnFailedConnect(!o.Once),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(pingsOut),
	}
	if !o.Once {
		// A platform that restarts may refuse its agents for a moment.
		opts = append(opts, nats.IgnoreAuthErrorAbort())
	}
	if o.InboxPrefix != "" {
		opts = append(opts, nats.CustomInboxPrefix(o.InboxPrefix))
	}
	if o.InProcess != nil {
		opts = append(opts, nats.InProcessServer(o.InProcess))
	}
	return append(append(opts, credentials(a)...), handlers(o)...)
}

func credentials(a NATSAccess) []nats.Option {
	var opts []nats.Option
	switch {
	case a.TokenFile != "":
		opts = append(opts, nats.TokenHandler(tokenOf(a.TokenFile)))
	case a.Token != "":
		opts = append(opts, nats.Token(a.Token))
	}
	if a.Creds != "" {
		opts = append(opts, nats.UserCredentials(a.Creds))
	}
	if a.ServerName != "" {
		opts = append(opts, nats.Secure(&tls.Config{ServerName: a.ServerName, MinVersion: tls.VersionTLS12}))
	}
	if a.CA != "" {
		opts = append(opts, nats.RootCAs(a.CA))
	}
	if a.Cert != "" || a.KeyFile != "" {
		opts = append(opts, nats.ClientCert(a.Cert, a.KeyFile))
	}
	return opts
}

// tokenOf reads a token each time it is asked for: it is renewed while its bearer lives. One that
// cannot be read, as while the disk is full, is none, which the broker refuses, and the next
// attempt to connect reads again.
func tokenOf(path string) func() string {
	return func() string {
		data, err := os.ReadFile(path)
		token := strings.TrimSpace(string(data))
		if err != nil || token == "" {
			return unreadable
		}
		return token
	}
}

// unreadable is no token: with an empty one the broker would take the bearer for a stranger and
// let it in with a stranger's rights.
const unreadable = "unreadable"

func handlers(o ConnectOptions) []nats.Option {
	state := o.OnState
	if state == nil {
		state = func(bool) {}
	}
	return []nats.Option{
		nats.ConnectHandler(func(nc *nats.Conn) {
			o.Logger.Debug("connected to NATS", "url", nc.ConnectedUrlRedacted(), "name", o.Name)
			state(true)
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			o.Logger.Info("connected to NATS again", "url", nc.ConnectedUrlRedacted(), "name", o.Name)
			state(true)
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				o.Logger.Warn("lost NATS connection, trying again", "err", err, "name", o.Name)
			}
			state(false)
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			o.Logger.Error("NATS", "err", err, "subject", subject, "name", o.Name)
		}),
	}
}

// redact hides a password in an address that goes into an error.
func redact(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the given address"
	}
	return u.Redacted()
}
