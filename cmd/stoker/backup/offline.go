package backup

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"stoker.dev/stoker/cmd/stoker/access"
	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/cmd/stoker/embedded/natsd"
	"stoker.dev/stoker/events"
)

// connName is what the broker shows of our connection.
const connName = "stoker backup"

// Online connects to the broker of a platform that runs.
func Online(s datadir.Server, log *slog.Logger) (*events.Bus, error) {
	if !s.EmbeddedNATS {
		return nil, fmt.Errorf("%w: the streams are kept by the NATS server at %s, not in the data directory: back them up there, such as with `nats account backup`", ErrNothing, s.NATS)
	}
	broker := events.NATSAccess{URL: s.NATS, Token: s.AdminToken}
	if strings.HasPrefix(s.NATS, "tls:") {
		broker.CA, broker.ServerName = s.CertFile, s.CertName
	}
	return events.Connect(broker, events.ConnectOptions{Name: connName, InboxPrefix: events.OwnerInbox(), Logger: log, Once: true})
}

// Offline holds a directory on which no platform runs, and runs a broker on its streams until
// close is called. Damaged files are refused as at any other start.
func Offline(ctx context.Context, dir string, log *slog.Logger) (bus *events.Bus, done func() error, err error) {
	if _, err := os.Stat(filepath.Join(dir, "keys")); err != nil {
		return nil, nil, fmt.Errorf("%w: %s is no data directory: %w", ErrNothing, dir, err)
	}
	d, err := datadir.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	bus, stop, err := broker(ctx, d.NATS(), log)
	if err != nil {
		return nil, nil, errors.Join(err, d.Close())
	}
	return bus, func() error { return errors.Join(stop(), d.Close()) }, nil
}

// nobody may come in but we ourselves, in process.
type nobody struct{}

// ByToken implements [natsd.Keeper].
func (nobody) ByToken(string) (access.Principal, bool) { return access.Principal{}, false }

// ByKey implements [natsd.Keeper].
func (nobody) ByKey(string) (access.Principal, bool) { return access.Principal{}, false }

// broker runs on a directory of streams, for us alone.
func broker(ctx context.Context, dir string, log *slog.Logger) (bus *events.Bus, stop func() error, err error) {
	s, err := natsd.Start(ctx, natsd.Options{
		StoreDir: dir, Port: -1, Keeper: nobody{}, AgentKey: []byte(rand.Text()), Logger: log, SyncInterval: natsd.DefaultSyncInterval,
	})
	if err != nil {
		return nil, nil, err
	}
	shutdown := func() error { return s.Shutdown(context.WithoutCancel(ctx)) }
	nc, err := s.Connect()
	if err != nil {
		return nil, nil, errors.Join(err, shutdown())
	}
	if bus, err = events.NewBus(nc, log); err != nil {
		nc.Close()
		return nil, nil, errors.Join(err, shutdown())
	}
	return bus, func() error { bus.Close(); return shutdown() }, nil
}
