package simulate

import (
	"time"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// beat is how often agents report: the pace at which the controller sees what happens at a
// function that is awake (cmd/stoker-agent's beatEvery).
const beat = time.Second

// Stoker is today's production policy: [scale.Decide] itself, seeing what the controller
// would see when it would see it.
func Stoker() Family {
	return Family{
		Name: "stoker", Beat: beat, Push: true,
		New: func(_ string, s Settings) Policy {
			spec := s.Spec
			spec.Revision = revision
			return &stoker{spec: spec, pending: map[functions.Class]int{}}
		},
	}
}

type stoker struct {
	spec    scale.Spec
	state   scale.State
	pending map[functions.Class]int
	seen    []scale.Replica
}

// Decide builds the observation as the controller does.
func (p *stoker) Decide(v *View) Order {
	p.pending[functions.Standard] = v.Queued
	p.seen = v.Replicas(p.seen[:0])
	obs := scale.Observation{
		Pending: p.pending, InFlight: v.InFlight, Replicas: p.seen, FreeGPUs: v.FreeGPUs,
		Ended: uint64(v.Ended), ServiceSec: v.Service.Seconds(), ColdStarts: v.ColdStarts,
	}
	var d scale.Decision
	p.state, d = scale.Decide(p.spec, p.state, obs, moment(v.Now))
	o := Order{Target: d.Target, Victims: d.Victims, Short: d.Limit == scale.ReasonNoGPU}
	if !d.Next.IsZero() {
		o.Next = d.Next.Sub(epoch)
	}
	return o
}
