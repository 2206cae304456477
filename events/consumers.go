package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/functions"
)

// How a queue hands out its requests.
const (
	// AckWait is how long a request stays with an agent that says nothing. Agents say they
	// are at work each third of it, so it is the time after which another replica takes the
	// requests of an agent that died.
	AckWait = 10 * time.Second
	// MaxAckPending must never be what holds a queue up: slots and replicas bound what is in
	// flight, so it is as large as the queue itself.
	MaxAckPending = QueueCeiling
	// MaxWaitingPulls is one open pull per class and replica, for more replicas than one
	// function ever has; the broker's default is 512.
	MaxWaitingPulls = 4096
)

// ConsumerConfig is the durable consumer of one class. It has no delivery limit, since
// attempts are counted on failure only ([Attempts]), and no inactivity threshold, since a
// lapsed consumer would leave its requests to nobody.
func ConsumerConfig(k functions.Key, c functions.Class) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       Consumer(k, c),
		FilterSubject: RequestSubject(k, c),
		AckPolicy:     jetstream.AckExplicitPolicy,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckWait:       AckWait,
		MaxDeliver:    -1,
		MaxAckPending: MaxAckPending,
		MaxWaiting:    MaxWaitingPulls,
	}
}

// OpenQueue makes the function's consumers, one per class. Doing it again changes nothing.
// It returns an error that is [ErrNotDeployed] where the shard does not own the function's subjects.
func (b *Bus) OpenQueue(ctx context.Context, k functions.Key, shard int) error {
	for _, c := range functions.Classes() {
		// Creating what is there as it should be writes nothing, and an update always does.
		_, err := b.js.CreateConsumer(ctx, ShardStream(shard), ConsumerConfig(k, c))
		if errors.Is(err, jetstream.ErrConsumerExists) {
			_, err = b.js.UpdateConsumer(ctx, ShardStream(shard), ConsumerConfig(k, c))
		}
		if noStream(err) {
			return fmt.Errorf("queue of %s on %s: %w; apply it first", k, ShardStream(shard), ErrNotDeployed)
		}
		if err != nil {
			return wrap(fmt.Sprintf("consumer %s on %s", Consumer(k, c), ShardStream(shard)), err)
		}
	}
	return nil
}

// CloseQueue deletes the function's consumers if none of its requests is stored, in flight
// or waiting. Otherwise it returns how many are. A request that arrives while it closes
// stays stored and is counted too: whoever gets more than 0 decides again.
func (b *Bus) CloseQueue(ctx context.Context, k functions.Key, shard int) (pending int, err error) {
	counts, err := b.PendingOf(ctx, k, shard)
	if err != nil || total(counts) > 0 {
		return total(counts), err
	}
	if err := b.deleteConsumers(ctx, k, shard); err != nil {
		return 0, err
	}
	counts, err = b.PendingOf(ctx, k, shard)
	return total(counts), err
}

func (b *Bus) deleteConsumers(ctx context.Context, k functions.Key, shard int) error {
	for _, c := range functions.Classes() {
		err := b.js.DeleteConsumer(ctx, ShardStream(shard), Consumer(k, c))
		if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) && !noStream(err) {
			return wrap("delete consumer "+Consumer(k, c), err)
		}
	}
	return nil
}

// QueueOpen tells whether the function's consumers exist.
func (b *Bus) QueueOpen(ctx context.Context, k functions.Key, shard int) (bool, error) {
	for _, c := range functions.Classes() {
		_, err := b.js.Consumer(ctx, ShardStream(shard), Consumer(k, c))
		if errors.Is(err, jetstream.ErrConsumerNotFound) || noStream(err) {
			return false, nil
		}
		if err != nil {
			return false, wrap("consumer "+Consumer(k, c), err)
		}
	}
	return true, nil
}

// Delivered is the last request of a class that was given to an agent, by its number in the shard;
// 0 is none, or a queue that is closed. Requests are given out in order, so what is behind it waits.
func (b *Bus) Delivered(ctx context.Context, k functions.Key, shard int, c functions.Class) (uint64, error) {
	q, err := b.js.Consumer(ctx, ShardStream(shard), Consumer(k, c))
	if errors.Is(err, jetstream.ErrConsumerNotFound) || noStream(err) {
		return 0, nil
	}
	if err != nil {
		return 0, wrap("consumer "+Consumer(k, c), err)
	}
	return q.CachedInfo().Delivered.Stream, nil
}

// Pending counts the stored requests of a shard, waiting and in flight, with one call to the
// broker whatever the number of functions (one more for each 100,000 queues). Functions
// without requests are not in it. A shard without a stream has none.
func (b *Bus) Pending(ctx context.Context, shard int) (map[functions.Key]map[functions.Class]uint64, error) {
	out := map[functions.Key]map[functions.Class]uint64{}
	err := b.countSubjects(ctx, ShardStream(shard), AllRequests, func(subject string, n uint64) error {
		k, c, err := ParseRequest(subject)
		if err != nil {
			return err
		}
		if out[k] == nil {
			out[k] = map[functions.Class]uint64{}
		}
		out[k][c] = n
		return nil
	})
	return out, err
}

// PendingOf counts the stored requests of one function, waiting and in flight.
func (b *Bus) PendingOf(ctx context.Context, k functions.Key, shard int) (map[functions.Class]uint64, error) {
	out := map[functions.Class]uint64{}
	err := b.countSubjects(ctx, ShardStream(shard), RequestFilter(k), func(subject string, n uint64) error {
		_, c, err := ParseRequest(subject)
		out[c] = n
		return err
	})
	return out, err
}

// streamInfoPage is the part of the broker's answer to STREAM.INFO that is needed here. The
// client library asks for a stream before it asks for its subjects; this is one call.
type streamInfoPage struct {
	Error *jetstream.APIError `json:"error"`
	Total int                 `json:"total"`
	State struct {
		Subjects map[string]uint64 `json:"subjects"`
	} `json:"state"`
}

// countSubjects calls f for each subject with messages, page by page.
func (b *Bus) countSubjects(ctx context.Context, stream, filter string, f func(string, uint64) error) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for seen := 0; ; {
		page, err := b.infoPage(ctx, stream, filter, seen)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		if err != nil {
			return wrap("count "+filter+" in "+stream, err)
		}
		for subject, n := range page.State.Subjects {
			if err := f(subject, n); err != nil {
				return err
			}
		}
		seen += len(page.State.Subjects)
		if len(page.State.Subjects) == 0 || seen >= page.Total {
			return nil
		}
	}
}

func (b *Bus) infoPage(ctx context.Context, stream, filter string, offset int) (streamInfoPage, error) {
	var page streamInfoPage
	body, err := json.Marshal(map[string]any{"subjects_filter": filter, "offset": offset})
	if err != nil {
		return page, err
	}
	m, err := b.nc.RequestWithContext(ctx, "$JS.API.STREAM.INFO."+stream, body)
	if err != nil {
		return page, err
	}
	if err := json.Unmarshal(m.Data, &page); err != nil {
		return page, err
	}
	if page.Error != nil {
		return page, page.Error
	}
	return page, nil
}
