package simulate

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// KEDA's constants are documented defaults: pollingInterval and cooldownPeriod of a
// ScaledObject, sync period, tolerance and scaling behaviour of the HorizontalPodAutoscaler.
const (
	nameKEDA     = "keda"
	kedaPoll     = 30 * time.Second // the autoscaler syncs every 15 s
	kedaCooldown = 300 * time.Second
	hpaTolerance = 0.1
	hpaUpFactor  = 2 // per sync, or
	hpaUpPods    = 4
)

// KEDAConstants are what a ScaledObject and its autoscaler let one choose.
type KEDAConstants struct {
	Cooldown time.Duration // to zero, and the stabilisation window of scaling in
	Poll     time.Duration // at least 2 s, in steps of 2 s; the autoscaler's sync is half of it, as it is with the defaults
	Half     bool          // a target of half a replica's slots: headroom
	Min      int           // replicas that stay from the first poll on that finds something
}

// KEDA polls a queue as KEDA with a HorizontalPodAutoscaler does: every 30 s it looks
// whether anything waits or runs, which takes a function from zero to one, and from one to
// zero after 300 s without. Above one, the autoscaler's sync every 15 s wants one replica
// for each slots' worth of waiting and running requests (the one constant that is not a
// default, which would be 10 messages), doubles at most, and scales in to the most it wanted
// within 300 s.
func KEDA() Family { return KEDAWith(KEDAConstants{Cooldown: kedaCooldown, Poll: kedaPoll}) }

// KEDACooldown is KEDA with another cooldown and stabilisation window.
func KEDACooldown(cooldown time.Duration) Family {
	return KEDAWith(KEDAConstants{Cooldown: cooldown, Poll: kedaPoll})
}

// The words for constants in a name.
const (
	kedaHalf = "half" // a target of half the slots
	kedaMin  = "min1" // a minimum of one
)

// KEDAWith is KEDA with other constants. Its name holds those that are not the defaults.
func KEDAWith(c KEDAConstants) Family {
	c.Poll = max(c.Poll.Truncate(2*time.Second), 2*time.Second)
	name := nameKEDA
	if c != (KEDAConstants{Cooldown: kedaCooldown, Poll: kedaPoll}) {
		name += fmt.Sprintf("-%gs", c.Cooldown.Seconds())
	}
	if c.Poll != kedaPoll || c.Half || c.Min > 0 {
		name += fmt.Sprintf("-%gs", c.Poll.Seconds())
	}
	if c.Half {
		name += "-" + kedaHalf
	}
	if c.Min > 0 {
		name += "-" + kedaMin
	}
	return Family{
		Name: name, Beat: c.Poll / 2,
		New: func(_ string, s Settings) Policy {
			s.Min = max(s.Min, c.Min)
			per := s.Slots
			if c.Half {
				per = max(1, s.Slots/2)
			}
			return &keda{Settings: s, cooldown: c.Cooldown, period: c.Poll, per: per}
		},
	}
}

// namedKEDA reads the constants in a name: COOLDOWN-POLL, then what else there is.
func namedKEDA(constants string) (Family, bool) {
	parts := strings.Split(constants, "-")
	if len(parts) < 2 {
		return Family{}, false
	}
	var c KEDAConstants
	var okC, okP bool
	c.Cooldown, okC = parseConstant(parts[0])
	c.Poll, okP = parseConstant(parts[1])
	for _, p := range parts[2:] {
		switch p {
		case kedaHalf:
			c.Half = true
		case kedaMin:
			c.Min = 1
		default:
			return Family{}, false
		}
	}
	return KEDAWith(c), okC && okP
}

type keda struct {
	Settings
	cooldown time.Duration
	period   time.Duration // of polls; a sync every half of it
	per      int           // requests that a replica is to have
	target   int
	activeAt time.Duration
	wanted   []recommendation
}

type recommendation struct {
	at time.Duration
	n  int
}

// Decide acts on the ticks of both loops, and on nothing in between.
func (p *keda) Decide(v *View) Order {
	if v.Now%(p.period/2) != 0 {
		return p.order(v)
	}
	if v.Now%p.period == 0 {
		p.poll(v)
	}
	if p.target > 0 {
		p.sync(v)
	}
	return p.order(v)
}

func (p *keda) order(v *View) Order {
	o := Order{Target: p.target}
	if p.target > p.Min || v.Load() > 0 {
		o.Next = nextTick(v.Now, p.period/2)
	}
	return o
}

// poll is KEDA's own loop.
func (p *keda) poll(v *View) {
	switch {
	case v.Load() > 0:
		p.activeAt = v.Now
		p.target = max(p.target, 1, p.Min)
	case v.Now-p.activeAt >= p.cooldown:
		p.target, p.wanted = p.Min, p.wanted[:0]
	}
}

// sync is the autoscaler's.
func (p *keda) sync(v *View) {
	want := p.target
	if ratio := float64(v.Load()) / float64(p.target*p.per); math.Abs(ratio-1) > hpaTolerance {
		want = slotsFor(v.Load(), p.per)
	}
	want = max(1, p.Min, min(want, p.Max, max(p.target*hpaUpFactor, p.target+hpaUpPods)))
	for len(p.wanted) > 0 && p.wanted[0].at <= v.Now-p.cooldown {
		p.wanted = p.wanted[1:]
	}
	p.wanted = append(p.wanted, recommendation{v.Now, want})
	if want >= p.target {
		p.target = want
		return
	}
	most := want
	for _, r := range p.wanted {
		most = max(most, r.n)
	}
	p.target = min(p.target, most)
}
