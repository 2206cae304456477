package platform

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/cmd/stoker/gateway"
)

// Times of the watch over the disk.
const (
	// diskEvery is how often the free room is asked for, a call of microseconds.
	diskEvery = time.Second
	// firstMend and lastMend bound the pause between two restarts of the broker: one is
	// enough where the disk is well again, and where it is not, more of them change nothing.
	firstMend = 2 * time.Second
	lastMend  = time.Minute
	// mendTimeout bounds one restart; recovering large streams takes seconds.
	mendTimeout = 90 * time.Second
	// holdTimeout bounds telling the broker to refuse.
	holdTimeout = 10 * time.Second
)

// causeStorage is the cause of a refusal while the broker cannot write.
const causeStorage = "storage-failed"

// broker is the embedded one as the watch sees it.
type broker interface {
	// BrokerHealthy tells whether it still takes messages.
	BrokerHealthy() error
	RestartBroker(ctx context.Context) error
}

// queues can be told to refuse new requests.
type queues interface {
	Hold(ctx context.Context, held bool) error
}

// storage watches over the disk that requests are stored on. Its states:
//
//	fine    new work is taken
//	low     less than the watermark is free: new work is refused, by the gateway with the cause
//	        disk-low and by the broker's own limit; what was accepted is finished
//	failed  the broker could not write (disk full, read-only, no file descriptors): it takes
//	        nothing more until it is restarted, which happens once the disk is well again
//
// A disk that fills within a second goes from fine to failed.
type storage struct {
	dir    *datadir.Dir
	mark   datadir.Watermark
	broker broker
	queues queues
	log    *slog.Logger

	refusal atomic.Pointer[api.Error] // nil while fine

	// Of the watch's goroutine alone.
	held   *bool // what the broker was told last; nil: nothing yet
	mendAt time.Time
	pause  time.Duration
}

// Refusal is why no new work is taken, or nil. It costs no system call.
func (s *storage) Refusal() *api.Error { return s.refusal.Load() }

// collectors show the disk on /metrics.
func (s *storage) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "stoker_disk_free_bytes", Help: "Free room on the disk of the data directory.",
		}, func() float64 {
			free, err := datadir.Free(s.dir.Path())
			if err != nil {
				return math.NaN()
			}
			return float64(free)
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "stoker_taking_work", Help: "Whether new work is taken: 1, or 0 while it could not be stored; /readyz says why.",
		}, func() float64 {
			if s.Refusal() != nil {
				return 0
			}
			return 1
		}),
	}
}

// run watches until ctx ends.
func (s *storage) run(ctx context.Context) {
	tick := time.NewTicker(diskEvery)
	defer tick.Stop()
	for {
		s.look(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look finds the state, and does what it asks for.
func (s *storage) look(ctx context.Context) {
	free, err := datadir.Free(s.dir.Path())
	if err != nil {
		s.log.Warn("free room not known", "error", err)
		return
	}
	low := s.mark.Low(free)
	if broken := s.broker.BrokerHealthy(); broken != nil {
		s.set(s.failed(broken))
		if !low {
			s.mend(ctx)
		}
		return
	}
	s.pause = 0
	s.hold(ctx, low)
	if low {
		s.set(s.low(free))
		return
	}
	s.set(nil)
}

func (s *storage) low(free uint64) *api.Error {
	const mib = 1 << 20
	return &api.Error{
		Code: http.StatusInsufficientStorage, Cause: gateway.CauseDiskLow,
		Message: fmt.Sprintf("the platform takes no new work: %d MiB are free on the disk of %s, %d MiB must be (--disk-watermark)", free/mib, s.dir.Path(), s.mark.Least/mib),
		Hint:    fmt.Sprintf("free some, %d MiB open it again; what was accepted is finished meanwhile", s.mark.Enough()/mib),
	}
}

func (s *storage) failed(err error) *api.Error {
	return &api.Error{
		Code: http.StatusInsufficientStorage, Cause: causeStorage,
		Message: fmt.Sprintf("the platform takes no new work: a write below %s failed: %v", s.dir.Path(), err),
		Hint:    "make room or mend the disk; it goes on by itself once the disk can be written, with everything it had acknowledged",
	}
}

// set makes a state the one in force and logs a change.
func (s *storage) set(refusal *api.Error) {
	was := s.refusal.Swap(refusal)
	switch {
	case refusal == nil && was != nil:
		s.log.Info("new work is taken again")
	case refusal != nil && (was == nil || was.Cause != refusal.Cause):
		s.log.Error("no new work is taken", "cause", refusal.Cause, "error", refusal.Message, "hint", refusal.Hint)
	}
}

// hold has the broker refuse plain publishers too, or take them again.
func (s *storage) hold(ctx context.Context, low bool) {
	if s.held != nil && *s.held == low {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, holdTimeout)
	defer cancel()
	if err := s.queues.Hold(ctx, low); err != nil {
		if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			s.log.Warn("the broker was not told about the disk, trying again", "refuse", low, "error", err)
		}
		return
	}
	s.held = &low
}

// mend restarts a broker that takes nothing more, where the disk can be written again.
func (s *storage) mend(ctx context.Context) {
	if time.Now().Before(s.mendAt) {
		return
	}
	if err := s.dir.Writable(); err != nil {
		return
	}
	s.pause = min(max(2*s.pause, firstMend), lastMend)
	s.mendAt = time.Now().Add(s.pause)
	s.log.Warn("restarting the broker: the disk can be written again")
	ctx, cancel := context.WithTimeout(ctx, mendTimeout)
	defer cancel()
	if err := s.broker.RestartBroker(ctx); err != nil {
		s.log.Error("the broker was not restarted", "error", err, "again", s.pause)
		return
	}
	s.held = nil
	s.log.Info("the broker runs again")
}
