package scale

import "time"

// Decide says how many replicas of which revision should run, which must go, and why.
func Decide(spec Spec, s State, obs Observation, now time.Time) (State, Decision) {
	return s, s.Last
}
