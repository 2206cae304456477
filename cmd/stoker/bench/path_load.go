package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// callTimeout bounds one request of a benchmark: a path that loses one must not hang.
const callTimeout = 30 * time.Second

// samples of one way.
type samples struct {
	times []time.Duration // one per request
	rates []float64       // requests a second, one per round
	cpu   cpuTimes
}

func (s *samples) add(more samples) {
	s.times = append(s.times, more.times...)
	s.rates = append(s.rates, more.rates...)
	s.cpu.add(more.cpu)
}

// load lets all callers call in a way for a while: each makes its next request when it has its
// answer. A request that fails ends the measurement.
func (w *pathWorld) load(ctx context.Context, way way, d time.Duration) (samples, error) {
	var wg sync.WaitGroup
	times, errs := make([][]time.Duration, len(w.callers)), make([]error, len(w.callers))
	before, err := w.processes().cpu()
	if err != nil {
		return samples{}, err
	}
	began := time.Now()
	for i, c := range w.callers {
		wg.Go(func() { times[i], errs[i] = c.repeat(ctx, way, began.Add(d)) })
	}
	wg.Wait()
	took := time.Since(began)
	after, err := w.processes().cpu()
	out := samples{cpu: after.since(before)}
	for _, t := range times {
		out.times = append(out.times, t...)
	}
	out.rates = []float64{float64(len(out.times)) / took.Seconds()}
	return out, errors.Join(err, errors.Join(errs...))
}

func (c *caller) repeat(ctx context.Context, way way, until time.Time) (times []time.Duration, err error) {
	ctx, cancel := context.WithDeadline(ctx, until.Add(callTimeout))
	defer cancel()
	for begin := time.Now(); begin.Before(until); {
		if err := way.call(ctx, c); err != nil {
			return times, fmt.Errorf("%s, request %d of caller %d: %w", way.name, len(times)+1, c.number, err)
		}
		end := time.Now()
		times = append(times, end.Sub(begin))
		begin = end
	}
	return times, nil
}
