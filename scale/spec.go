package scale

import (
	"time"

	"stoker.dev/stoker/functions"
)

// AutoKeepAlive in [Spec.KeepAlive] asks for what pays, by what was learned.
const AutoKeepAlive time.Duration = -1

// Spec is what Decide needs to know of a function's manifest. Durations are nanoseconds
// in JSON, as encoding/json writes them.
type Spec struct {
	Revision  string                  `json:"revision"`
	Min       int                     `json:"min"`              // replicas held even without demand
	Max       int                     `json:"max"`              // replicas that may serve at a time
	Slots     int                     `json:"slots"`            // requests a replica takes at a time
	Wait      time.Duration           `json:"wait"`             // the wait SLO's limit
	WaitAt    float64                 `json:"waitAt"`           // the wait SLO's percentile, 0 < p < 1
	KeepAlive time.Duration           `json:"keepAlive"`        // negative: AutoKeepAlive
	GPUs      int                     `json:"gpus"`             // per replica; 0 is a function without a GPU
	Weight    int                     `json:"weight,omitempty"` // beside others of its class while GPUs are short; 0 is 1
	Grace     time.Duration           `json:"grace"`            // what a draining replica has to finish
	Depth     map[functions.Class]int `json:"depth,omitempty"`
	Paused    bool                    `json:"paused,omitempty"`   // takes requests, runs none
	Deleting  bool                    `json:"deleting,omitempty"` // drains before it is removed
	Pinned    *int                    `json:"pinned,omitempty"`   // replicas asked for by hand; nil: scale by demand
}

// SpecOf extracts it from a manifest that was parsed and defaulted. Paused, Deleting and
// Pinned are not in a manifest: the caller sets them.
func SpecOf(f functions.Function, revision string) Spec {
	s := f.Spec
	at, wait := s.Scaling.WaitSLO.Target()
	return Spec{
		Revision:  revision,
		Min:       s.Scaling.Min,
		Max:       s.Scaling.Max,
		Slots:     s.Scaling.Slots,
		Wait:      wait,
		WaitAt:    at,
		KeepAlive: keepAliveOf(s.Scaling.KeepAlive),
		GPUs:      s.Resources.GPUs,
		Weight:    s.Scaling.Weight,
		Grace:     s.Runtime.Drain.Grace.D(),
		Depth: map[functions.Class]int{
			functions.Interactive: s.Queue.Depth.Interactive,
			functions.Standard:    s.Queue.Depth.Standard,
			functions.Batch:       s.Queue.Depth.Batch,
		},
	}
}

// keepAliveOf reads "auto" or a duration.
func keepAliveOf(k functions.KeepAlive) time.Duration {
	if k.Auto() || k == "" {
		return AutoKeepAlive
	}
	return max(0, k.D())
}

// sane bounds what arithmetic below relies on, for specs that were never validated.
func (s Spec) sane() Spec {
	s.Max = clamp(s.Max, 0, MaxReplicas)
	s.Min = clamp(s.Min, 0, s.Max)
	s.Slots = clamp(s.Slots, 1, MaxSlots)
	s.GPUs = max(s.GPUs, 0)
	s.Wait = max(s.Wait, 0)
	s.WaitAt = min(saneNumber(s.WaitAt), mostStrict)
	return s
}

// Bounds of the arithmetic, far above any fleet, so that products cannot overflow.
const (
	MaxReplicas = 100_000
	MaxSlots    = 1_000_000
	mostStrict  = 0.9999 // the strictest percentile of a wait SLO that is reckoned with
)

func clamp(v, lo, hi int) int { return max(lo, min(v, hi)) }
