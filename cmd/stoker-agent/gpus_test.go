package main

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"stoker.dev/stoker/activities/nvml"
	"stoker.dev/stoker/events"
)

// driver is a driver that says what the test wants.
type driver struct {
	faults nvml.Faults
	err    error
	asked  chan struct{}
}

func (d *driver) Devices(context.Context) ([]nvml.Device, error) { return nil, nil }

func (d *driver) Sample(context.Context, ...string) ([]events.GPUSample, error) { return nil, nil }

func (d *driver) Faults(_ context.Context, uuids ...string) (nvml.Faults, error) {
	select {
	case d.asked <- struct{}{}:
	default:
	}
	if len(uuids) != 1 || uuids[0] != "GPU-a" {
		return nvml.Faults{}, errors.New("asked for other GPUs")
	}
	return d.faults, d.err
}

func (d *driver) Close() error { return nil }

func TestTheEndOfARankTellsOfItsGPUs(t *testing.T) {
	d := &driver{asked: make(chan struct{}, 1)}
	s := newSampler([]string{"GPU-a"}, slog.New(slog.DiscardHandler))
	s.open = func() (nvml.Library, error) { return d, nil }
	ctx, stop := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { defer close(over); s.run(ctx) }()
	defer func() { stop(); <-over }()
	<-d.asked // the library is open
	blame := func() (e events.RankEnd) {
		s.blame(ctx, &e)
		return e
	}
	if e := blame(); len(e.Xids) != 0 || e.Recovery != 0 {
		t.Errorf("of a healthy GPU: %+v", e)
	}
	d = &driver{faults: nvml.Faults{Recovery: 1}}
	for i := range events.MaxRankXids + 5 {
		d.faults.Xids = append(d.faults.Xids, nvml.Xid{UUID: "GPU-a", Code: i, Seen: time.Unix(int64(i), 0)})
	}
	s.use(d)
	e := blame()
	if n := len(e.Xids); n != events.MaxRankXids || e.Xids[n-1] != (events.RankXid{Code: events.MaxRankXids + 4, GPU: "GPU-a", At: time.Unix(events.MaxRankXids+4, 0)}) || e.Recovery != 1 {
		t.Errorf("%d errors, the newest bounded: %+v", n, e)
	}
	s.use(&driver{err: errors.New("the driver hangs")})
	if again := blame(); len(again.Xids) != len(e.Xids) || again.Recovery != 1 {
		t.Errorf("a driver that no longer answers has said it before: %+v", again)
	}
}

func TestWithoutADriverNothingIsBlamed(t *testing.T) {
	s := newSampler([]string{"GPU-a"}, slog.New(slog.DiscardHandler))
	s.open = func() (nvml.Library, error) { return nil, nvml.ErrNotAvailable }
	s.run(t.Context())
	var e events.RankEnd
	if s.blame(t.Context(), &e); e.Xids != nil || e.Recovery != 0 {
		t.Errorf("%+v", e)
	}
}
