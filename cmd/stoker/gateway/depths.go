package gateway

import (
	"context"
	"sync"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

const (
	// nearFull is the part of a queue's depth up to which the controller's count, which may be
	// two seconds old, and what was sent since are exact enough.
	nearFull = 0.8
	// countEvery is how long an exact count is used, with what was sent since: a flood costs
	// the broker ten counts a second for a function, whatever its size.
	countEvery = 100 * time.Millisecond
	// countsAge is how old the controller's counts may be: what was sent within it is added to
	// them. It is more than one period of its reconcile.
	countsAge = 3 * time.Second
)

// depths knows how many requests wait of each function. The zero value needs only count.
type depths struct {
	count func(ctx context.Context, k functions.Key, shard int) (map[functions.Class]uint64, error)
	byKey sync.Map // functions.Key → *depth
}

// depth is what this gateway knows of one function's queue.
type depth struct {
	mu      sync.Mutex
	sent    map[functions.Class]int // in the running period
	before  map[functions.Class]int // in the period before it
	since   time.Time               // start of the running period
	exact   map[functions.Class]int // what waits, as counted
	counted time.Time
}

// take counts one more request of a class in. Where there is no room for it, it returns how
// many wait instead.
func (d *depths) take(ctx context.Context, k functions.Key, c functions.Class, a api.Admission, now time.Time) (full map[functions.Class]int, err error) {
	v, _ := d.byKey.LoadOrStore(k, &depth{sent: map[functions.Class]int{}})
	x := v.(*depth)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.turn(now)
	if float64(a.Pending[c]+x.sent[c]+x.before[c]+1) >= nearFull*float64(a.Spec.Queue.Depth.Of(c)) {
		if now.Sub(x.counted) >= countEvery || now.Before(x.counted) {
			stored, err := d.count(ctx, k, a.Shard)
			if err != nil {
				return nil, err
			}
			x.exact, x.counted = waiting(stored, a.InFlight), now
		}
		if !scale.Fits(x.exact, c, a.Spec) {
			return x.exact, nil
		}
	}
	x.sent[c]++
	if x.exact != nil {
		x.exact[c]++
	}
	return nil, nil
}

// turn begins a new period where the running one is over.
func (x *depth) turn(now time.Time) {
	switch age := now.Sub(x.since); {
	case age >= 2*countsAge:
		x.before, x.sent, x.since = nil, map[functions.Class]int{}, now
	case age >= countsAge:
		x.before, x.sent, x.since = x.sent, map[functions.Class]int{}, now
	}
}

// forget drops what is known of a function that was deleted.
func (d *depths) forget(k functions.Key) { d.byKey.Delete(k) }

// waiting takes off the stored requests those that agents work on, the most urgent first,
// since those are pulled first.
func waiting(stored map[functions.Class]uint64, inFlight int) map[functions.Class]int {
	out := map[functions.Class]int{}
	for _, c := range functions.Classes() {
		n := int(stored[c])
		off := min(n, inFlight)
		inFlight -= off
		out[c] = n - off
	}
	return out
}
