package bench

import (
	"context"
	"math"
	"time"
)

// ownConsumers are the platform's own, whatever is deployed: that of the submissions of training jobs.
const ownConsumers = 1

// SideReport is what one platform cost over the window.
type SideReport struct {
	CPUPercent     float64 `json:"cpu_percent"`            // of one core, over the whole window
	CPUPerSecond   Spread  `json:"cpu_percent_per_second"` // how it is spread over its seconds
	RSSMB          float64 `json:"rss_mb"`                 // at the end of the window
	RSSPerSecond   Spread  `json:"rss_mb_per_second"`
	Samples        int     `json:"samples"`
	NATSMessages   int     `json:"nats_messages"`          // in and out of the broker
	NATSOwn        int     `json:"nats_messages_received"` // by the platform's own connection
	TemporalEvents int     `json:"temporal_events"`        // written by functions' workflows
	TemporalSystem int     `json:"temporal_system_events"` // by the server's own workflows
	Goroutines     int     `json:"goroutines"`
	HeapMB         float64 `json:"heap_mb"` // in use, at the end
	Subscriptions  int     `json:"subscriptions"`
	Consumers      int     `json:"consumers"` // of functions
}

// Spread of samples that are no times.
type Spread struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// side is a platform whose cost is measured.
type side struct {
	*up
	settled counters  // when it began to settle
	since   time.Time // then
}

// settle reads the counters before the platform is left alone: reading 20,000 series is work, and
// leaves garbage behind that is the measurement's, not the platform's.
func (s *side) settle(ctx context.Context) (err error) {
	s.since = time.Now()
	s.settled, err = s.count(ctx)
	return err
}

// measure watches the platform for a while. What goes by time is counted from the settling on and
// reported for the window; Temporal's events are counted in the window alone.
func (s *side) measure(ctx context.Context, window time.Duration) (SideReport, error) {
	var rep SideReport
	events, system, err := s.events(ctx)
	if err != nil {
		return rep, err
	}
	if err := rep.watch(ctx, s.up, window); err != nil {
		return rep, err
	}
	counted := time.Since(s.since)
	after, err := s.count(ctx)
	if err != nil {
		return rep, err
	}
	part := func(n int) int { return int(math.Round(float64(n) * float64(window) / float64(counted))) }
	rep.NATSMessages, rep.NATSOwn = part(after.nats-s.settled.nats), part(after.own-s.settled.own)
	rep.TemporalEvents, rep.TemporalSystem = after.events-events, after.system-system
	rep.Goroutines, rep.HeapMB = after.goroutines, after.heapMB
	rep.Subscriptions, rep.Consumers = after.subscriptions, max(0, after.consumers-ownConsumers)
	return rep, nil
}

// watch samples processor time and memory until the window is over.
func (r *SideReport) watch(ctx context.Context, u *up, window time.Duration) error {
	first, err := u.usage()
	if err != nil {
		return err
	}
	last, end := first, first.at.Add(window)
	var cpu, rss []float64
	for last.at.Before(end) {
		if err := pause(ctx, min(sampleEvery, time.Until(end))); err != nil {
			return err
		}
		now, err := u.usage()
		if err != nil {
			return err
		}
		cpu = append(cpu, percent(last, now))
		rss = append(rss, now.rss)
		last = now
	}
	r.CPUPercent, r.RSSMB = percent(first, last), last.rss
	r.CPUPerSecond, r.RSSPerSecond, r.Samples = spread(cpu), spread(rss), len(cpu)
	return nil
}

// percent of one core between two looks.
func percent(a, b usage) float64 {
	took := b.at.Sub(a.at).Seconds()
	if took <= 0 {
		return 0
	}
	return 100 * (b.cpu - a.cpu) / took
}
