package embedded

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/cmd/stoker/embedded/natsd"
)

// ErrExternal is returned when a server elsewhere cannot be reached or used.
var ErrExternal = errors.New("external server")

// connectTimeout bounds the first contact with an external server.
const connectTimeout = 10 * time.Second

// reconnectWait is the pause between two tries to come back to a broker that went away; as much
// again is added by chance. A wake waits for it.
const reconnectWait = 250 * time.Millisecond

// NATSOptions say how an external broker is reached, with NATS's own kinds of credentials.
// With an empty URL the broker is embedded and the rest is ignored. User and password, or a
// token, may stand in the URL.
type NATSOptions struct {
	URL        string // nats://, tls:// or ws://, several separated by commas
	Creds      string // path of a .creds file (JWT and seed)
	NKey       string // path of a file with an nkey seed
	AgentCreds string // path of a .creds file for agents; empty: they get Creds
	CA         string // path of a PEM file
	Cert, Key  string // paths of PEM files, for mutual TLS
}

func (o NATSOptions) check() error {
	switch {
	case o.URL == "":
		return nil
	case o.Creds != "" && o.NKey != "":
		return fmt.Errorf("%w: NATS credentials %s and nkey %s: set one of them", ErrExternal, o.Creds, o.NKey)
	case o.NKey != "" && o.AgentCreds == "":
		return fmt.Errorf("%w: NATS nkey %s is for the platform alone: give agents a .creds file of their own", ErrExternal, o.NKey)
	case (o.Cert == "") != (o.Key == ""):
		return fmt.Errorf("%w: NATS client certificate %q and key %q: set both or none", ErrExternal, o.Cert, o.Key)
	}
	return nil
}

func (o NATSOptions) dial() ([]nats.Option, error) {
	opts := []nats.Option{nats.CustomInboxPrefix(natsd.PlatformInbox)}
	if o.Creds != "" {
		opts = append(opts, nats.UserCredentials(o.Creds))
	}
	if o.NKey != "" {
		nkey, err := nats.NkeyOptionFromSeed(o.NKey)
		if err != nil {
			return nil, fmt.Errorf("%w: NATS nkey %s: %w", ErrExternal, o.NKey, err)
		}
		opts = append(opts, nkey)
	}
	if o.CA != "" {
		opts = append(opts, nats.RootCAs(o.CA))
	}
	if o.Cert != "" {
		opts = append(opts, nats.ClientCert(o.Cert, o.Key))
	}
	return opts, nil
}

// redacted is the URL as it may be printed.
func (o NATSOptions) redacted() string {
	var out []string
	for _, one := range strings.Split(o.URL, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil {
			out = append(out, "(unreadable URL)") // it may hold a password
			continue
		}
		if u.User != nil {
			u.User = url.User("xxxxx")
		}
		out = append(out, u.String())
	}
	return strings.Join(out, ",")
}

func (p *Platform) startNATS(ctx context.Context, o Options, ports datadir.Ports) error {
	if o.NATS.URL != "" {
		return p.checkNATS(ctx)
	}
	revoked, err := o.Dir.Revoked()
	if err != nil {
		return err
	}
	s, err := natsd.Start(ctx, natsd.Options{
		StoreDir: o.Dir.NATS(), Host: o.Listen.Host, Port: ports.NATS, TLS: o.Listen.TLS, Keeper: o.Keeper, AgentKey: p.keys.HMAC,
		Revoked: revoked, Logger: o.Logger.With("part", "nats"), SyncInterval: o.SyncInterval, AcceptLoss: o.AcceptLoss,
	})
	if err != nil {
		return err
	}
	p.natsd = s
	return nil
}

// checkNATS finds out at the start, rather than at the first request, whether the broker
// lets us in and has JetStream.
func (p *Platform) checkNATS(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	nc, err := p.NATSConn(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	if _, err := js.AccountInfo(ctx); err != nil {
		return fmt.Errorf("%w: NATS at %s has no JetStream for this account: %w", ErrExternal, p.nats.redacted(), err)
	}
	return nil
}

// NATSConn opens a connection with the platform's rights, in process where the broker is
// embedded. It reconnects for ever; the caller closes it. ctx bounds the connecting only.
func (p *Platform) NATSConn(ctx context.Context, opts ...nats.Option) (*nats.Conn, error) {
	timeout := connectTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline))
	}
	base := append(p.connLog(), nats.Name("stoker"), nats.MaxReconnects(-1), nats.Timeout(timeout),
		nats.ReconnectWait(reconnectWait), nats.ReconnectJitter(reconnectWait, reconnectWait))
	if p.natsd != nil {
		return p.natsd.Connect(append(base, opts...)...)
	}
	dial, err := p.nats.dial()
	if err != nil {
		return nil, err
	}
	nc, err := nats.Connect(p.nats.URL, append(append(base, dial...), opts...)...)
	if err != nil {
		return nil, fmt.Errorf("%w: NATS at %s: %w; check STOKER_NATS_URL and its credentials", ErrExternal, p.nats.redacted(), err)
	}
	return nc, nil
}

// connLog says what happens to a connection; nats.go would print it to standard error.
func (p *Platform) connLog() []nats.Option {
	log := p.log.With("part", "nats")
	return []nats.Option{
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			log.Warn("connection", "error", err, "subject", subject)
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil: closed by us
				log.Warn("disconnected", "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("reconnected") }),
	}
}

// BrokerHealthy tells whether the embedded broker still takes messages; nil where it is elsewhere.
func (p *Platform) BrokerHealthy() error {
	if p.natsd == nil {
		return nil
	}
	return p.natsd.Healthy()
}

// RestartBroker restarts the embedded broker after a failed write; its clients reconnect.
func (p *Platform) RestartBroker(ctx context.Context) error { return p.natsd.Restart(ctx) }

// Embedded tells whether the broker is in this process, and stores below the data directory.
func (p *Platform) Embedded() bool { return p.natsd != nil }

// NATSURL is what clients connect to; it has no password in it.
func (p *Platform) NATSURL() string {
	if p.natsd != nil {
		return p.natsd.URL()
	}
	return p.nats.redacted()
}

// BrokerStats are the embedded broker's own counts; false where the broker is elsewhere.
func (p *Platform) BrokerStats() (natsd.Stats, bool, error) {
	if p.natsd == nil {
		return natsd.Stats{}, false, nil
	}
	s, err := p.natsd.Stats()
	return s, true, err
}
