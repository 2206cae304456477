package simulate

import (
	"time"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// beat is how often agents report: the pace at which the controller sees what happens at a
// function that is awake (cmd/stoker-agent's beatEvery).
const beat = time.Second

// poolEvery is how often what the functions of a world learned is put together, as often as
// the controller does (cmd/stoker/controller's poolEvery).
const poolEvery = time.Minute

// Stoker is today's production policy: [scale.Decide] itself, seeing what the controller
// would see when it would see it.
func Stoker() Family {
	return Family{Name: "stoker", Beat: beat, Push: true, New: together(), Shared: together}
}

// together makes policies that learn from each other.
func together() func(function string, s Settings) Policy {
	shared := &pool{}
	return func(name string, s Settings) Policy {
		spec := s.Spec
		spec.Revision = revision
		p := &stoker{name: name, spec: spec, pending: map[functions.Class]int{}, pool: shared}
		shared.all = append(shared.all, p)
		return p
	}
}

// pool is what the functions of a world learn together, and how they share its GPUs.
type pool struct {
	all    []*stoker
	habits *scale.Habits
	at     time.Duration
	shares shares
}

// now is what was learned, no older than poolEvery.
func (p *pool) now(now time.Duration) *scale.Habits {
	if p.habits == nil || now >= p.at+poolEvery {
		all := make([]*scale.Habits, len(p.all))
		for i, s := range p.all {
			all[i] = &s.state.Habits
		}
		p.habits, p.at = scale.PoolOf(all), now
	}
	return p.habits
}

type stoker struct {
	name    string
	spec    scale.Spec
	have    int // replicas that are starting or ready, and were not told to go
	state   scale.State
	pending map[functions.Class]int
	seen    []scale.Replica
	pool    *pool
}

// Decide builds the observation as the controller does.
func (p *stoker) Decide(v *View) Order {
	p.pending[functions.Standard] = v.Queued
	p.seen = v.Replicas(p.seen[:0])
	p.have = v.Starting + v.Ready
	share, look := p.pool.share(p, v)
	obs := scale.Observation{
		Pending: p.pending, InFlight: v.InFlight, Replicas: p.seen, FreeGPUs: v.FreeGPUs,
		Ended: uint64(v.Ended), ServiceSec: v.Service.Seconds(), ColdStarts: v.ColdStarts,
		Late: v.Late, Pool: p.pool.now(v.Now), Share: share,
	}
	var d scale.Decision
	p.state, d = scale.Decide(p.spec, p.state, obs, moment(v.Now))
	p.state.Recent = nil // kept for people alone, and copied at every change
	p.have = d.Target
	o := Order{Target: d.Target, Victims: d.Victims, Short: p.lacksGPUs(), Look: look}
	if o.Short {
		o.Lacks = max(0, scale.ClaimOf(p.name, p.spec, p.state, moment(v.Now)).Demand-d.Target)
	}
	if !d.Next.IsZero() {
		o.Next = d.Next.Sub(epoch)
	}
	return o
}
