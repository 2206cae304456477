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

	mu   sync.Mutex
	seen []events.GPUSample
}

func newSampler(uuids []string, log *slog.Logger) *sampler {
	return &sampler{uuids: uuids, log: log}
}

// run looks each second until ctx ends. Beats do not wait for it.
func (s *sampler) run(ctx context.Context) {
	if len(s.uuids) == 0 {
		return
	}
	lib, err := nvml.Open()
	if err != nil {
		s.log.Info("heartbeats carry no GPU figures", "why", err)
		return
	}
	defer lib.Close()
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
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = seen
}

// last is what was seen last, in the order of the replica's GPUs.
func (s *sampler) last() []events.GPUSample {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}
