package simulate

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Knative's constants are the documented defaults of its pod autoscaler
// (config/core/configmaps/autoscaler.yaml of knative/serving).
const (
	knativeTick        = 2 * time.Second
	knativeStable      = 60 * time.Second
	knativePanicShare  = 10 // of the stable window: 6 s
	knativePanicFactor = 2.0
	knativeUtilization = 0.7
	knativeGrace       = 30 * time.Second
	knativeMaxUp       = 1000.0
	knativeMaxDown     = 2.0
)

// Knative is a stable and panic window autoscaler after Knative's, with its default
// constants: every 2 s the mean concurrency of the last 60 s, requests that wait included,
// is divided by 70 % of the slots; where the mean of the last 6 s asks for twice the ready
// replicas it panics, scales by that and does not scale in for 60 s. To zero when nothing
// came for the stable window and a grace of 30 s; from zero at once, by one.
func Knative() Family { return KnativeWindow(knativeStable) }

// KnativeWindow is Knative with another stable window, its main constant.
func KnativeWindow(stable time.Duration) Family {
	name := "knative"
	if stable != knativeStable {
		name = fmt.Sprintf("knative-%gs", stable.Seconds())
	}
	return Family{
		Name: name, Beat: knativeTick, Push: true,
		New: func(_ string, s Settings) Policy {
			return &knative{Settings: s, stable: stable, panicWindow: stable / knativePanicShare, zeroAt: never, panicAt: never}
		},
	}
}

type knative struct {
	Settings
	stable, panicWindow time.Duration
	samples             []sample
	target              int
	panicAt             time.Duration // when it last saw reason to; never: does not panic
	panicPods           int
	zeroAt              time.Duration // since when nothing is wanted
}

// sample is the integral of the load at a moment.
type sample struct {
	at   time.Duration
	area float64
}

// Decide is one tick.
func (p *knative) Decide(v *View) Order {
	if p.target == 0 {
		p.samples = p.samples[:0]
	}
	p.keep(sample{v.Now, v.Area})
	switch {
	case p.target == 0 && v.Load() == 0:
		p.target = p.Min
	case p.target == 0:
		p.zeroAt = never
		p.target = max(1, p.Min)
	case v.Now%knativeTick == 0:
		p.tick(v)
	}
	p.target = max(p.Min, min(p.target, p.Max))
	o := Order{Target: p.target}
	if p.target > p.Min || v.Load() > 0 {
		o.Next = nextTick(v.Now, knativeTick)
	}
	return o
}

func (p *knative) tick(v *View) {
	perReplica := knativeUtilization * float64(p.Slots)
	pods := max(1, v.Ready)
	want := p.within(p.mean(v, p.stable)/perReplica, pods)
	burst := p.within(p.mean(v, p.panicWindow)/perReplica, pods)
	switch over := float64(burst)/float64(pods) >= knativePanicFactor; {
	case over && p.panicAt == never:
		p.panicAt, p.panicPods = v.Now, 0
	case over:
		p.panicAt = v.Now
	case p.panicAt != never && v.Now-p.panicAt > p.stable:
		p.panicAt = never
	}
	if p.panicAt != never {
		p.panicPods = max(p.panicPods, burst, want)
		want = p.panicPods
	}
	p.toZero(v, want)
}

// toZero holds the last replica for the grace.
func (p *knative) toZero(v *View, want int) {
	switch {
	case want > 0:
		p.target, p.zeroAt = want, never
	case p.zeroAt == never:
		p.target, p.zeroAt = 1, v.Now
	case v.Now-p.zeroAt >= knativeGrace:
		p.target = 0
	}
}

// within bounds one step: up to a thousand times as many, down to half, and from one to none.
func (p *knative) within(want float64, pods int) int {
	lo, hi := math.Floor(float64(pods)/knativeMaxDown), math.Ceil(float64(pods)*knativeMaxUp)
	return int(max(lo, min(math.Ceil(want), hi)))
}

// keep adds a sample and forgets those that no window reaches.
func (p *knative) keep(s sample) {
	for len(p.samples) > 1 && p.samples[1].at <= s.at-p.stable {
		p.samples = p.samples[1:]
	}
	p.samples = append(p.samples, s)
}

// mean is the mean load of a window, or of as much of it as there is.
func (p *knative) mean(v *View, window time.Duration) float64 {
	after, _ := slices.BinarySearchFunc(p.samples, v.Now-window+1, func(s sample, at time.Duration) int { return cmp.Compare(s.at, at) })
	from := p.samples[max(0, after-1)]
	if from.at == v.Now {
		return float64(v.Load())
	}
	return (v.Area - from.area) / float64(v.Now-from.at)
}
