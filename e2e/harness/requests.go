package harness

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.temporal.io/sdk/client"

	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// NATS connects as any publisher would: without credentials, reconnecting for ever.
func (p *Platform) NATS(opts ...nats.Option) *nats.Conn {
	p.t.Helper()
	opts = append([]nats.Option{
		nats.MaxReconnects(-1), nats.ReconnectWait(100 * time.Millisecond), nats.ReconnectJitter(0, 0), nats.Timeout(10 * time.Second),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}, opts...)
	url := p.Server.NATS
	if p.o.NATS != "" {
		url = p.o.NATS
	}
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(nc.Close)
	return nc
}

// Admin connects with the platform's own rights, to look behind the curtain. A broker that is not the platform's
// knows one kind of client.
func (p *Platform) Admin() *nats.Conn {
	p.t.Helper()
	if p.o.NATS != "" {
		return p.NATS()
	}
	return p.NATS(nats.Token(p.Server.AdminToken), nats.CustomInboxPrefix(events.UserInbox("test")))
}

// JetStream is the broker's API with the platform's own rights.
func (p *Platform) JetStream() jetstream.JetStream {
	p.t.Helper()
	js, err := jetstream.New(p.Admin(), jetstream.WithDefaultTimeout(Patience)) // its own 5 s are over after one stall
	if err != nil {
		p.t.Fatal(err)
	}
	return js
}

// Bus reads records as the platform does.
func (p *Platform) Bus() *events.Bus {
	p.t.Helper()
	bus, err := events.NewBus(p.Admin(), slog.New(slog.DiscardHandler))
	if err != nil {
		p.t.Fatal(err)
	}
	return bus
}

// Temporal connects to the platform's Temporal.
func (p *Platform) Temporal() client.Client {
	p.t.Helper()
	conf, err := datadir.TemporalKeysOf(p.Dir).Config()
	if err != nil {
		p.t.Fatal(err)
	}
	c, err := client.Dial(client.Options{
		HostPort: p.Server.Temporal, Namespace: p.Server.Namespace, Logger: slog.New(slog.DiscardHandler),
		ConnectionOptions: client.ConnectionOptions{TLS: conf},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(c.Close)
	return c
}

// Publish publishes a bare payload and returns its id. An error means that it was not accepted, as far as the
// publisher can know.
func Publish(ctx context.Context, js jetstream.JetStream, k functions.Key, c functions.Class, body string) (string, error) {
	ack, err := js.Publish(ctx, events.RequestSubject(k, c), []byte(body), jetstream.WithRetryAttempts(0))
	if err != nil {
		return "", err
	}
	return events.BareID(ack.Stream, ack.Sequence), nil
}

// MustPublish is [Publish] on a platform that runs.
func (p *Platform) MustPublish(js jetstream.JetStream, name string, c functions.Class, body string) string {
	p.t.Helper()
	id, err := Publish(p.t.Context(), js, Key(name), c, body)
	if err != nil {
		p.t.Fatalf("publish to %s: %v", name, err)
	}
	return id
}

// AwaitRecords waits until every id has its terminal record, and returns them by id.
func (p *Platform) AwaitRecords(name string, ids []string) map[string]events.Record {
	p.t.Helper()
	bus, out := p.Bus(), map[string]events.Record{}
	EventuallyWithin(p.t, 2*Patience, "terminal records of "+name, func() (bool, any) {
		var missing []string
		for _, id := range ids {
			if _, ok := out[id]; ok {
				continue
			}
			rec, err := bus.GetRecord(p.t.Context(), Key(name), id, "")
			if err == nil {
				out[id] = rec
			} else if !errors.Is(err, events.ErrNotFound) {
				return false, err
			} else {
				missing = append(missing, id)
			}
		}
		return len(missing) == 0, missing[:min(len(missing), 20)]
	})
	return out
}
