package simulate

import (
	"fmt"
	"time"
)

// Timers are the fixed idle timers that serverless GPU platforms ship (anchors: 0 s
// ServerlessLLM, 5 s RunPod, 60 s Modal, fal, Cerebrium, 180 s beta9, 300 s KEDA, 600 s Ray
// Serve, Fireworks, 900 s Baseten, OpenFaaS Pro, 1,200 s SkyServe).
func Timers() []Family {
	var out []Family
	for _, sec := range []int{0, 5, 60, 180, 300, 600, 900, 1200} {
		out = append(out, Timer(time.Duration(sec)*time.Second))
	}
	return out
}

// Timer starts a replica the moment a request finds no slot, and lets one go that nobody
// needed for the given time: the k-th replica is needed while more than k-1 replicas' slots
// are taken or waited for. So it is the idle timer of each replica under a dispatcher that
// packs, which is the best such timers can do.
func Timer(idle time.Duration) Family {
	return Family{
		Name: fmt.Sprintf("timer-%gs", idle.Seconds()), Push: true,
		New: func(_ string, s Settings) Policy { return &timer{Settings: s, idle: idle} },
	}
}

type timer struct {
	Settings
	idle   time.Duration
	need   int             // replicas needed since the last call
	needed []time.Duration // when the k-th was needed last; later ones never later
}

// Decide keeps each level for the idle time.
func (p *timer) Decide(v *View) Order {
	need := min(slotsFor(v.Peak, p.Slots), p.Max)
	for len(p.needed) < need {
		p.needed = append(p.needed, 0)
	}
	for k := range max(need, p.need) {
		p.needed[k] = v.Now
	}
	p.need = min(slotsFor(v.Load(), p.Slots), p.Max)
	for n := len(p.needed); n > max(p.need, p.Min) && p.needed[n-1]+p.idle <= v.Now; n-- {
		p.needed = p.needed[:n-1]
	}
	o := Order{Target: max(len(p.needed), p.Min)}
	if n := len(p.needed); n > max(p.need, p.Min) {
		o.Next = p.needed[n-1] + p.idle
	}
	return o
}
