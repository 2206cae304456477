package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"stoker.dev/stoker/activities/nvml"
	"stoker.dev/stoker/events"
)

// sampleWithin bounds one look at the GPUs, which a driver in trouble may never answer.
const sampleWithin = 500 * time.Millisecond

// sampler looks at the replica's GPUs through NVIDIA's library. Where there is no driver,
// or the replica has no GPU, it sees nothing, and that is no error.
type sampler struct {
	uuids []string
	log   *slog.Logger
	open  func() (nvml.Library, error)

	mu     sync.Mutex
	lib    nvml.Library // nil: not open
	seen   []events.GPUSample
	faults nvml.Faults
}

func newSampler(uuids []string, log *slog.Logger) *sampler {
	return &sampler{uuids: uuids, log: log, open: nvml.Open}
}

// run looks each second until ctx ends. Beats do not wait for it.
func (s *sampler) run(ctx context.Context) {
	if len(s.uuids) == 0 {
		return
	}
	lib, err := s.open()
	if err != nil {
		s.log.Info("heartbeats carry no GPU figures", "why", err)
		return
	}
	defer lib.Close()
	s.use(lib)
	defer s.use(nil)
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	for {
		s.sample(ctx, lib)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *sampler) sample(ctx context.Context, lib nvml.Library) {
	ctx, cancel := context.WithTimeout(ctx, sampleWithin)
	defer cancel()
	seen, err := lib.Sample(ctx, s.uuids...)
	if err != nil {
		s.log.Debug("GPUs not sampled", "err", err)
	}
	s.look(ctx, lib)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = seen
}

// look takes what the driver has against the GPUs; what it said before stands while it does not answer.
func (s *sampler) look(ctx context.Context, lib nvml.Library) {
	faults, err := lib.Faults(ctx, s.uuids...)
	if err != nil {
		s.log.Debug("GPUs not asked for faults", "err", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = faults
}

func (s *sampler) use(lib nvml.Library) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lib = lib
}

// blame looks once more, and adds to the end of a rank what the driver has against its GPUs.
func (s *sampler) blame(ctx context.Context, e *events.RankEnd) {
	s.mu.Lock()
	lib := s.lib
	s.mu.Unlock()
	if lib != nil {
		ctx, cancel := context.WithTimeout(ctx, sampleWithin)
		defer cancel()
		s.look(ctx, lib)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Recovery = s.faults.Recovery
	for _, x := range s.faults.Xids[max(0, len(s.faults.Xids)-events.MaxRankXids):] {
		e.Xids = append(e.Xids, events.RankXid{Code: x.Code, GPU: x.UUID, At: x.Seen})
	}
}

// last is what was seen last, in the order of the replica's GPUs.
func (s *sampler) last() []events.GPUSample {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}
