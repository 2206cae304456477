package bench

import (
	"context"
	"errors"

	"stoker.dev/stoker/cmd/stoker/embedded"
	"stoker.dev/stoker/cmd/stoker/embedded/temporald"
	"stoker.dev/stoker/events"
)

// probe reads what a platform has counted.
type probe struct {
	url string      // of its HTTP port
	db  string      // Temporal's file
	bus *events.Bus // with the platform's rights; nil: key-value is not looked at
}

// counters are what a platform has counted since its start, and what it holds.
type counters struct {
	nats, own                int // messages the broker handled; those the platform's connection received
	wakes, beats             int
	syncs, decisions         int
	evaluations              int
	ledgerWrites, conflicts  int
	events, system           int // of Temporal's histories: of functions' workflows, of the server's own
	revisions                int // of key-value
	goroutines               int
	subscriptions, consumers int
	heapMB                   float64
}

func (p probe) count(ctx context.Context) (counters, error) {
	var c counters
	m, err := scrape(ctx, p.url)
	if err != nil {
		return c, err
	}
	var errs []error
	read := func(family, label string) int {
		v, err := m.sum(family, label)
		errs = append(errs, err)
		return int(v)
	}
	c.nats, c.own = read("stoker_broker_messages_total", ""), read("stoker_nats_messages_total", "received")
	c.wakes, c.beats = read("stoker_wakes_total", ""), read("stoker_heartbeats_total", "")
	c.syncs, c.decisions = read("stoker_syncs_total", ""), read("stoker_decisions_total", "")
	c.evaluations = read("stoker_evaluations_total", "")
	c.ledgerWrites, c.conflicts = read("stoker_ledger_writes_total", "written"), read("stoker_ledger_writes_total", "conflict")
	c.goroutines, c.heapMB = read("go_goroutines", ""), float64(read("go_memstats_heap_inuse_bytes", ""))/1e6
	c.subscriptions, c.consumers = read("stoker_broker_objects", "subscriptions"), read("stoker_broker_objects", "consumers")
	c.events, c.system, err = p.events(ctx)
	errs = append(errs, err)
	c.revisions, err = p.revisions(ctx)
	return c, errors.Join(append(errs, err)...)
}

// events counts the history events that Temporal has written.
func (p probe) events(ctx context.Context) (ours, system int, err error) {
	byNamespace, err := temporald.CountEvents(ctx, p.db)
	for name, n := range byNamespace {
		if name == embedded.DefaultNamespace {
			ours += n
		} else {
			system += n
		}
	}
	return ours, system, err
}

// revisions counts the writes to key-value: every one has the next number of its bucket.
func (p probe) revisions(ctx context.Context) (n int, err error) {
	if p.bus == nil {
		return 0, nil
	}
	for _, bucket := range []string{events.BucketFunctions, events.BucketState, events.BucketLedger, events.BucketAttempts} {
		s, err := p.bus.JetStream().Stream(ctx, "KV_"+bucket)
		if err != nil {
			return 0, err
		}
		n += int(s.CachedInfo().State.LastSeq)
	}
	return n, nil
}
