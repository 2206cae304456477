package simulate

import (
	"math"
	"time"
)

// bound is a lower bound on the GPU-seconds of any policy that meets the objective, however
// much it knows: every arrival and service time in advance, with any number of GPUs, starting
// and stopping replicas at will, moving a request within its wait, and choosing which
// requests to serve late, as many as the objective lets it. It is not a schedule: a policy
// that reaches it need not exist.
//
// Why nothing is below it. W is the objective's wait, K the requests that may be late
// (its share, 1 % say), C the mean cold start, and slots those of a replica.
//
//  1. A request that is not late runs within its window, from its arrival to arrival + W +
//     service time. Windows of one function that overlap form a component; those of
//     different components never run at the same time.
//  2. Within a component, replicas run for at least the sum of service times / slots: no
//     replica takes more at a time (dense). They also run for at least the service times of
//     requests whose windows are apart from each other, picked greedily (sparse). The larger
//     counts.
//  3. Between two windows apart by a gap, a function keeps a replica for the gap or starts
//     one again: min(gap, C). The first one costs C. Where a policy cannot foresee how long
//     the next cold start will be, C is what it pays on average.
//  4. So each request that is served in time has a value v, and no policy is below the sum
//     of them. Leaving out up to K requests, it cannot be below
//     sum(min(v, L)) - L × K for any price L ≥ 0 of a late request: one that is late saves
//     at most L of the first sum, and there are at most K. The best of a row of prices
//     counts.
//  5. Late requests are served too: nobody is below all service times / slots and one cold
//     start for each function, either.
type bound struct {
	functions []*boundOf
}

// prices of a late request, GPU-seconds: from a hundredth of a second to about an hour in
// steps of a half. Fewer would only make the bound looser.
const (
	firstPrice  = 0.01
	priceFactor = 1.5
	priceCount  = 32
)

// rounding is what 1 - share may be off by, in requests.
const rounding = 1e-6

type perPrice [priceCount]float64

// late are the prices.
var late = func() (p perPrice) {
	price := firstPrice
	for i := range p {
		p[i] = price
		price *= priceFactor
	}
	return p
}()

// of begins the bound of one function.
func (b *bound) of(s Settings) *boundOf {
	f := &boundOf{wait: s.Wait, mayBeLate: 1 - s.WaitAt, slots: float64(max(1, s.Slots)), gpus: float64(max(1, s.GPUs)), cold: s.ColdStart.Mean().Seconds()}
	b.functions = append(b.functions, f)
	return f
}

// boundOf is the bound of one function, one request after another.
type boundOf struct {
	wait        time.Duration
	slots, gpus float64
	cold        float64 // seconds
	mayBeLate   float64 // share of requests
	requests    float64
	work        float64 // service seconds / slots of all requests

	began         bool
	end           time.Duration // of the component: the last window's end
	apart         time.Duration // the end of the last window picked for being apart
	dense, sparse perPrice      // values of the component, by price
	sum           perPrice      // of the components before it
}

func (f *boundOf) arrive(a Arrival) {
	sec := a.Service.Seconds()
	f.requests++
	f.work += sec / f.slots
	gap := 0.0
	fresh := !f.began || a.At >= f.end
	switch {
	case !f.began:
		gap = f.cold
	case fresh:
		gap = min((a.At - f.end).Seconds(), f.cold)
	}
	if fresh {
		f.closeComponent()
		f.began, f.end, f.apart = true, a.At, a.At
	}
	f.dense.add(sec/f.slots + gap)
	if a.At >= f.apart {
		if !fresh {
			gap = min((a.At - f.apart).Seconds(), f.cold)
		}
		f.sparse.add(sec + gap)
		f.apart = a.At + f.wait + a.Service
	}
	f.end = max(f.end, a.At+f.wait+a.Service)
}

func (p *perPrice) add(v float64) {
	for i := range p {
		p[i] += min(v, late[i])
	}
}

func (f *boundOf) closeComponent() {
	for i := range f.sum {
		f.sum[i] += max(f.dense[i], f.sparse[i])
	}
	f.dense, f.sparse = perPrice{}, perPrice{}
}

// result is the bound of all functions.
func (b *bound) result() Result {
	r := Result{Policy: NameOracle, VsOracle: 1}
	var sum perPrice
	var requests, mayBeLate float64
	most := 1.0 // GPUs that one late request may save the time of
	for _, f := range b.functions {
		most = max(most, f.gpus)
		requests, mayBeLate = requests+f.requests, mayBeLate+f.mayBeLate*f.requests
		r.Useful += f.work * f.gpus
		r.Cold += f.cold * f.gpus
		for i := range sum {
			sum[i] += (f.sum[i] + max(f.dense[i], f.sparse[i])) * f.gpus
		}
	}
	r.GPUSeconds = r.Useful + r.Cold
	mayBeLate = math.Floor(mayBeLate + rounding)
	r.Attainment = 1 - mayBeLate/max(requests, 1)
	for i := range sum {
		r.GPUSeconds = max(r.GPUSeconds, sum[i]-late[i]*mayBeLate*most)
	}
	r.Idle = r.GPUSeconds - r.Useful - r.Cold // what gaps cost, idling or starting again
	return r
}
