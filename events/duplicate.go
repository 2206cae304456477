package events

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// takenInstead tells whether the broker dropped a request as a duplicate of another's message.
// It looks for a Nats-Msg-Id in the whole stream, where the functions of many namespaces lie
// beside each other, and each publisher may send any: whoever knows a request's source and id
// can have sent its Nats-Msg-Id first. So its word is good only where it leads to the request,
// waiting, or to its record; the order matters, since a request goes once its record is there.
func (b *Bus) takenInstead(ctx context.Context, r Request) (bool, error) {
	s, err := b.js.Stream(ctx, r.Stream)
	if noStream(err) {
		return true, nil // guests may not look; a request that is stored twice ends in one record
	}
	if err != nil {
		return false, wrap("look for the duplicate on "+r.Stream, err)
	}
	m, err := s.GetMsg(ctx, r.Seq)
	switch {
	case err == nil && sameRequest(r, m):
		return false, nil
	case err != nil && !errors.Is(err, jetstream.ErrMsgNotFound):
		return false, wrap(fmt.Sprintf("look for the duplicate at %d of %s", r.Seq, r.Stream), err)
	}
	ended, err := b.Ended(ctx, r)
	return !ended, err
}

// sameRequest compares what a record is kept by. The class is no part of it.
func sameRequest(want Request, m *jetstream.RawStreamMsg) bool {
	have, err := NewRequest(m.Subject, m.Header, m.Data, want.Stream, m.Sequence, m.Time)
	return (err == nil || errors.Is(err, ErrMalformed)) && have.key() == want.key()
}

// key tells two requests apart that lead to the same record id.
func (r Request) key() string {
	return recordKey(r.Key, r.Event.Source, r.RecordID(), r.Event.Redrive)
}

// Ended tells whether a request has its terminal record: its own, and not that of another source,
// or of a redrive, which lies under the same id.
func (b *Bus) Ended(ctx context.Context, r Request) (bool, error) {
	for try := range recordTries {
		rec, err := b.readRecord(ctx, r.Key, recordCandidate(r.RecordID(), r.Event.Source, try))
		if errors.Is(err, ErrNotFound) {
			return false, nil
		}
		if err != nil || rec.key == r.key() {
			return err == nil, err
		}
	}
	return false, nil
}
