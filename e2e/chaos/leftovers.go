package chaos

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/e2e/history"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// kept is what may be there when nobody asks for anything: what the steady functions have.
type kept struct {
	replicas  []string
	consumers []string
}

// steadies are what the steady functions have now.
func steadies(ctx context.Context, p *harness.Platform) (kept, error) {
	var k kept
	for i := range steadyN {
		f, err := p.API.Get(ctx, harness.Key(name(i)))
		if err != nil {
			return k, err
		}
		for _, r := range f.Replicas {
			k.replicas = append(k.replicas, r.ID)
		}
		for _, class := range functions.Classes() {
			k.consumers = append(k.consumers, events.Consumer(harness.Key(name(i)), class))
		}
	}
	return k, nil
}

// atRest notes what functions that came to zero by themselves, and are deployed still, have left: a process, a lease or
// a consumer. What goes within patience is no leftover.
func atRest(t *testing.T, p *harness.Platform, b *book) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	tick := time.NewTicker(ledgerEvery)
	defer tick.Stop()
	js := p.JetStream()
	var left []history.Record
	for {
		k, err := steadies(ctx, p)
		if err == nil {
			left, err = leftovers(ctx, p, js, k)
		}
		if err == nil && len(left) == 0 {
			return
		}
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		if err != nil && len(left) == 0 {
			t.Errorf("what is left at rest is not known: %v", err)
		}
		noteLeft(b, left, " of functions at zero")
		return
	}
}

// gone notes what is there when every function is deleted.
func gone(t *testing.T, p *harness.Platform, b *book) {
	t.Helper()
	left, err := leftovers(t.Context(), p, p.JetStream(), kept{})
	if err != nil {
		t.Error(err)
	}
	noteLeft(b, left, "")
}

func noteLeft(b *book, left []history.Record, where string) {
	for _, r := range left {
		r.What += where
		b.note(r)
	}
}

// leftovers are the processes, leases and consumers there are beside those that may be.
func leftovers(ctx context.Context, p *harness.Platform, js jetstream.JetStream, k kept) ([]history.Record, error) {
	var out []history.Record
	for _, x := range p.Processes() {
		if !slices.Contains(k.replicas, x.Replica) {
			out = append(out, history.Record{Kind: history.Left, What: "process", ID: strconv.Itoa(x.PID), Replica: x.Replica, Program: x.Name})
		}
	}
	st, err := p.API.Platform(ctx)
	for _, l := range st.Leases {
		if !slices.Contains(k.replicas, l.Holder) {
			out = append(out, history.Record{Kind: history.Left, What: "lease", ID: l.Holder, Devices: l.Devices})
		}
	}
	consumers, listed := consumersLeft(ctx, js, k)
	return append(out, consumers...), errors.Join(err, listed)
}

func consumersLeft(ctx context.Context, js jetstream.JetStream, k kept) ([]history.Record, error) {
	var out []history.Record
	streams := js.StreamNames(ctx)
	for stream := range streams.Name() {
		if !strings.HasPrefix(stream, events.ReservedID) {
			continue
		}
		s, err := js.Stream(ctx, stream)
		if err != nil {
			return out, err
		}
		names := s.ConsumerNames(ctx)
		for c := range names.Name() {
			if !slices.Contains(k.consumers, c) {
				out = append(out, history.Record{Kind: history.Left, What: "consumer", ID: stream + " " + c})
			}
		}
		if err := names.Err(); err != nil {
			return out, err
		}
	}
	return out, streams.Err()
}
