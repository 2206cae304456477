package events

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
)

// lastMsg reads the last message of a subject straight from its stream. The client library
// asks for the stream first, which an agent may not: its permissions name the subjects of
// its own function, and STREAM.INFO shows everybody's. The message's Nats-Sequence header
// tells where it is stored.
func (b *Bus) lastMsg(ctx context.Context, stream, subject string) (*nats.Msg, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	m, err := b.nc.RequestWithContext(ctx, apiDirectGet(stream, subject), nil)
	if err != nil {
		return nil, wrap("read "+subject, err)
	}
	switch status := m.Header.Get("Status"); status {
	case "":
		return m, nil
	case "404":
		return nil, ErrNotFound
	default:
		return nil, fmt.Errorf("read %s: broker says %s %s", subject, status, m.Header.Get("Description"))
	}
}

// sequence of a message that lastMsg returned.
func sequence(m *nats.Msg) (uint64, error) {
	seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: Nats-Sequence: %w", ErrSubject, err)
	}
	return seq, nil
}
