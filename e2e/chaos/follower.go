package chaos

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/e2e/history"
	"stoker.dev/stoker/events"
)

const (
	// nextWait bounds the wait for one stored record, which the broker has at hand.
	nextWait = 10 * time.Second
	// followAgain is how long the follower waits before it begins anew where it was: its broker was killed.
	followAgain = 200 * time.Millisecond
)

// follower reads every terminal record as it is written. The stream keeps one message per subject, so at the end nothing
// would show that there were two; only their numbers would, of which each is given once.
type follower struct {
	js jetstream.JetStream
	b  *book

	seen   map[uint64]string // ids by their number in the stream; the running goroutine's until it is stopped
	last   uint64
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func startFollower(js jetstream.JetStream, b *book) *follower {
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{js: js, b: b, seen: map[uint64]string{}, cancel: cancel}
	f.wg.Go(func() { f.run(ctx) })
	return f
}

func (f *follower) stop() {
	f.cancel()
	f.wg.Wait()
}

func (f *follower) run(ctx context.Context) {
	for {
		_ = f.follow(ctx) // what it missed is found at the end
		select {
		case <-time.After(followAgain):
		case <-ctx.Done():
			return
		}
	}
}

// follow notes what comes after the last record it knows, until something fails.
func (f *follower) follow(ctx context.Context) error {
	c, err := f.js.OrderedConsumer(ctx, events.StreamResults, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: f.last + 1,
	})
	if err != nil {
		return err
	}
	it, err := c.Messages()
	if err != nil {
		return err
	}
	defer it.Stop()
	for {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		if _, err := f.take(m); err != nil {
			return err
		}
	}
}

// take notes a record that is new to it, and returns what the broker says of its place.
func (f *follower) take(m jetstream.Msg) (*jetstream.MsgMetadata, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	rec, err := events.ParseReply(&events.Msg{Header: m.Headers(), Data: m.Data()})
	if err != nil {
		return nil, fmt.Errorf("record on %s: %w", m.Subject(), err)
	}
	seq := meta.Sequence.Stream
	f.last = max(f.last, seq)
	if f.seen[seq] == rec.ID {
		return meta, nil
	}
	f.seen[seq] = rec.ID
	f.b.note(history.Record{
		Kind: history.Stored, At: meta.Timestamp, ID: rec.ID, Function: rec.Function.Name, Class: string(rec.Class),
		Status: string(rec.Status), Cause: rec.Cause, Attempt: rec.Attempt, Replica: rec.Replica,
	})
	return meta, nil
}

// finish stops following, notes what is there and was not seen yet, and what was there and is not any more. Nothing may
// be written meanwhile, and no record's retention may have ended.
func (f *follower) finish(ctx context.Context) error {
	f.stop()
	there, err := f.readAll(ctx)
	if err != nil {
		return fmt.Errorf("read the terminal records: %w", err)
	}
	s, err := f.js.Stream(ctx, events.StreamResults)
	if err != nil {
		return err
	}
	for seq := uint64(1); seq <= max(f.last, s.CachedInfo().State.LastSeq); seq++ {
		if !there[seq] {
			f.b.note(history.Record{Kind: history.Vanished, ID: f.seen[seq], What: fmt.Sprintf("terminal record %d", seq)})
		}
	}
	return nil
}

// readAll takes every record that is stored, and tells their numbers.
func (f *follower) readAll(ctx context.Context) (map[uint64]bool, error) {
	there := map[uint64]bool{}
	c, err := f.js.OrderedConsumer(ctx, events.StreamResults, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, err
	}
	info, err := c.Info(ctx)
	if err != nil || info.NumPending == 0 {
		return there, err
	}
	it, err := c.Messages()
	if err != nil {
		return nil, err
	}
	defer it.Stop()
	for {
		m, err := it.Next(jetstream.NextMaxWait(nextWait))
		if err != nil {
			return nil, err
		}
		meta, err := f.take(m)
		if err != nil {
			return nil, err
		}
		there[meta.Sequence.Stream] = true
		if meta.NumPending == 0 {
			return there, nil
		}
	}
}
