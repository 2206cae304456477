package simulate

import (
	"time"

	"stoker.dev/stoker/scale"
)

// shareEvery is how often GPUs that are short are divided anew, as often as the controller does
// (cmd/stoker/controller's shareEvery).
const shareEvery = time.Second

// shares are how many replicas each function is due while GPUs are short; who is not in it is not bounded.
type shares struct {
	at time.Duration
	of map[*stoker]int
}

// share is how many replicas a function is due, nil while GPUs are not short, and who is to look again at once because
// that has changed. GPUs are taken to be alike.
func (p *pool) share(s *stoker, v *View) (due *int, look []string) {
	if v.Pool == 0 {
		return nil, nil
	}
	if v.Now >= p.shares.at+shareEvery {
		look = p.divide(s, v)
	}
	if n, bounded := p.shares.of[s]; bounded {
		due = &n
	}
	return due, look
}

// divide divides the GPUs anew, if a function goes short.
func (p *pool) divide(asker *stoker, v *View) (look []string) {
	before := p.shares.of
	p.shares = shares{at: v.Now}
	claims, short := make([]scale.Claim, len(p.all)), false
	for i, s := range p.all {
		claims[i] = scale.ClaimOf(s.name, s.spec, s.state, moment(v.Now))
		claims[i].Have = s.have
		short = short || s.lacksGPUs()
	}
	if !short && len(before) == 0 {
		return nil
	}
	p.shares.of = map[*stoker]int{}
	if short {
		for i, n := range scale.Shares(v.Pool, claims) {
			p.shares.of[p.all[i]] = n
		}
	}
	for _, s := range p.all {
		was, wasBounded := before[s]
		n, bounded := p.shares.of[s]
		if s != asker && (was != n || wasBounded != bounded) && (s.lacksGPUs() || bounded && s.have > n) {
			look = append(look, s.name)
		}
	}
	return look
}

// lacksGPUs is whether the last decision was held back for want of GPUs.
func (p *stoker) lacksGPUs() bool { return p.state.Last.Limit.ShortOfGPUs() }
