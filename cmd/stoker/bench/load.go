package bench

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// LoadOptions of rounds of requests on replicas that are there already.
type LoadOptions struct {
	Requests int           // of the small round; ten times as many in the large one
	Round    time.Duration // how long each round takes
}

// LoadReport compares rounds of the same length with different numbers of requests: what grows
// with the requests is a message, an event or a write per request.
type LoadReport struct {
	Rounds []LoadRound `json:"rounds"`
	// PerRequest is what the large round has beyond the small one, by request it has more.
	PerRequest PerRequest `json:"per_request"`
}

// LoadRound is what happened in one round.
type LoadRound struct {
	Requests       int     `json:"requests"`
	Answered       int     `json:"answered"`
	Seconds        float64 `json:"seconds"`
	Wakes          int     `json:"wakes"`
	Heartbeats     int     `json:"heartbeats"`
	Received       int     `json:"nats_messages_received"` // by the platform's own connection, of any kind
	Broker         int     `json:"nats_messages"`          // all that the broker handled
	Decisions      int     `json:"decisions"`
	Syncs          int     `json:"syncs"`
	TemporalEvents int     `json:"temporal_events"`
	Revisions      int     `json:"kv_revisions"`
}

// PerRequest is growth by request.
type PerRequest struct {
	Wakes          float64 `json:"wakes"`
	Heartbeats     float64 `json:"heartbeats"`
	Received       float64 `json:"nats_messages_received"`
	Syncs          float64 `json:"syncs"`
	TemporalEvents float64 `json:"temporal_events"`
	Revisions      float64 `json:"kv_revisions"`
}

// manyTimes is how many times larger the large round is.
const manyTimes = 10

// roundTimeout is how long a round may take beyond its length until all are answered.
const roundTimeout = 2 * time.Minute

// load is requests to one function, from a connection of its own.
type load struct {
	LoadOptions
	bus *events.Bus
	key functions.Key
}

// measure makes a round without requests, a small and a large one.
func (l load) measure(ctx context.Context, p probe) (LoadReport, error) {
	var rep LoadReport
	for _, n := range []int{0, l.Requests, manyTimes * l.Requests} {
		r, err := l.round(ctx, p, n)
		if err != nil {
			return rep, fmt.Errorf("round of %d requests: %w", n, err)
		}
		rep.Rounds = append(rep.Rounds, r)
	}
	rep.PerRequest = growth(rep.Rounds[1], rep.Rounds[2])
	return rep, nil
}

// round sends n requests evenly over the length of a round, and counts what moved meanwhile.
func (l load) round(ctx context.Context, p probe, n int) (LoadRound, error) {
	before, err := p.count(ctx)
	if err != nil {
		return LoadRound{}, err
	}
	begin := time.Now()
	answered, err := l.send(ctx, n)
	took := time.Since(begin)
	if err != nil {
		return LoadRound{}, err
	}
	after, err := p.count(ctx)
	return LoadRound{
		Requests: n, Answered: answered, Seconds: took.Seconds(),
		Wakes: after.wakes - before.wakes, Heartbeats: after.beats - before.beats,
		Received: after.own - before.own, Broker: after.nats - before.nats,
		Decisions: after.decisions - before.decisions, Syncs: after.syncs - before.syncs,
		TemporalEvents: after.events - before.events, Revisions: after.revisions - before.revisions,
	}, err
}

// send publishes n events at an even pace and counts those that are answered well. It takes the
// length of a round at least, so that rounds are alike in what goes by time.
func (l load) send(ctx context.Context, n int) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, l.Round+roundTimeout)
	defer cancel()
	inbox := l.bus.Conn().NewRespInbox()
	answers := make(chan bool, n) // room for all: the connection must not wait for us
	sub, err := l.bus.Conn().Subscribe(inbox, func(m *events.Msg) {
		rec, err := events.ParseReply(m)
		answers <- err == nil && rec.Status == events.StatusOK
	})
	if err != nil {
		return 0, fmt.Errorf("subscribe to the answers: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	begin := time.Now()
	if err := l.publish(ctx, n, inbox); err != nil {
		return 0, err
	}
	good := 0
	for range n {
		select {
		case ok := <-answers:
			if ok {
				good++
			}
		case <-ctx.Done():
			return good, nil // those without an answer show as such
		}
	}
	return good, pause(ctx, time.Until(begin.Add(l.Round)))
}

// publish sends n events, each when its time has come.
func (l load) publish(ctx context.Context, n int, inbox string) error {
	begin := time.Now()
	for i := range n {
		if err := pause(ctx, time.Until(begin.Add(l.Round*time.Duration(i)/time.Duration(n)))); err != nil {
			return err
		}
		e := events.Event{ID: inbox + "-" + strconv.Itoa(i), Source: "stoker-bench", Type: "bench", Data: []byte(`{}`), ReplyTo: inbox}
		if _, err := l.bus.Publish(ctx, e, l.key, functions.Standard); err != nil {
			return err
		}
	}
	return nil
}

// growth is the difference of two rounds by request, the small one first made as long as the
// large one.
func growth(small, large LoadRound) PerRequest {
	per := func(of func(LoadRound) int) float64 {
		expected := float64(of(small)) * large.Seconds / small.Seconds
		return (float64(of(large)) - expected) / float64(large.Requests-small.Requests)
	}
	return PerRequest{
		Wakes:          per(func(r LoadRound) int { return r.Wakes }),
		Heartbeats:     per(func(r LoadRound) int { return r.Heartbeats }),
		Received:       per(func(r LoadRound) int { return r.Received }),
		Syncs:          per(func(r LoadRound) int { return r.Syncs }),
		TemporalEvents: per(func(r LoadRound) int { return r.TemporalEvents }),
		Revisions:      per(func(r LoadRound) int { return r.Revisions }),
	}
}
