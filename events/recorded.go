package events

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/functions"
)

// recordsStall is how long reading waits for a record that is said to be there. It may have reached the end of its
// retention meanwhile, of which the broker tells nobody.
const recordsStall = 2 * time.Second

// RecordFilter chooses terminal records.
type RecordFilter struct {
	Function functions.Key // zero: all; a namespace alone: all of it
	Since    time.Time     // written since; zero: all there are
}

func (o RecordFilter) config() jetstream.OrderedConsumerConfig {
	k := functions.Key{Namespace: orAny(o.Function.Namespace), Name: orAny(o.Function.Name)}
	conf := jetstream.OrderedConsumerConfig{FilterSubjects: []string{ResultFilter(k)}, HeadersOnly: true}
	if !o.Since.IsZero() {
		conf.DeliverPolicy, conf.OptStartTime = jetstream.DeliverByStartTimePolicy, &o.Since
	}
	return conf
}

// ReadRecords calls f with the terminal records there are now, without their answers, in the order they were written
// in. Those that are written meanwhile are left out, so that it ends on a busy platform too. It returns f's error, or
// the context's.
func (b *Bus) ReadRecords(ctx context.Context, o RecordFilter, f func(Record) error) error {
	s, err := b.js.Stream(ctx, StreamResults)
	if err != nil {
		return wrap("read records", err)
	}
	last := s.CachedInfo().State.LastSeq
	c, err := s.OrderedConsumer(ctx, o.config())
	if err != nil {
		return wrap("read records", err)
	}
	if c.CachedInfo().NumPending == 0 {
		return nil
	}
	it, err := c.Messages()
	if err != nil {
		return wrap("read records", err)
	}
	defer it.Stop()
	for more := true; more; {
		if more, err = nextRecord(ctx, c, it, last, f); err != nil {
			return err
		}
	}
	return nil
}

// nextRecord hands on one record, and tells whether there are more up to the last one.
func nextRecord(ctx context.Context, c jetstream.Consumer, it jetstream.MessagesContext, last uint64, f func(Record) error) (more bool, err error) {
	waiting, cancel := context.WithTimeout(ctx, recordsStall)
	defer cancel()
	m, err := it.Next(jetstream.NextContext(waiting))
	if err != nil && ctx.Err() == nil && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout)) {
		info, err := c.Info(ctx)
		return err == nil && info.NumPending > 0, wrap("read records", err)
	}
	if err != nil {
		return false, wrap("read records", err)
	}
	meta, err := m.Metadata()
	if err != nil {
		return false, wrap("read records", err)
	}
	if meta.Sequence.Stream > last {
		return false, nil
	}
	r, err := parseRecord(m.Headers(), nil)
	if err != nil {
		return false, fmt.Errorf("record at %s: %w", m.Subject(), err)
	}
	return meta.NumPending > 0 && meta.Sequence.Stream < last, f(r)
}
