package scale

import "time"

// Split is GPU time by what it was spent on, in GPU-seconds (seconds × GPUs). Its parts
// add up to what was provisioned: there is no residual.
type Split struct {
	Useful   float64 `json:"useful"`   // at least one request in flight
	Cold     float64 `json:"cold"`     // start to ready
	Idle     float64 `json:"idle"`     // ready, nothing in flight
	Draining float64 `json:"draining"` // from the notice to the exit, less what was useful
	Unknown  float64 `json:"unknown"`  // held, and nobody could say what for
}

// Add returns the sum of both, part by part.
func (s Split) Add(o Split) Split {
	return Split{
		Useful:   s.Useful + o.Useful,
		Cold:     s.Cold + o.Cold,
		Idle:     s.Idle + o.Idle,
		Draining: s.Draining + o.Draining,
		Unknown:  s.Unknown + o.Unknown,
	}
}

// Sub returns s less o, part by part: what was spent between two readings of a counter.
func (s Split) Sub(o Split) Split { return s.Add(o.Scale(-1)) }

// Scale multiplies every part: one replica's seconds times its GPUs.
func (s Split) Scale(gpus float64) Split {
	return Split{
		Useful:   s.Useful * gpus,
		Cold:     s.Cold * gpus,
		Idle:     s.Idle * gpus,
		Draining: s.Draining * gpus,
		Unknown:  s.Unknown * gpus,
	}
}

// Total is the sum of the parts.
func (s Split) Total() float64 { return s.Useful + s.Cold + s.Idle + s.Draining + s.Unknown }

// Reconcile closes the books of one replica: told is what its agent accounted for, held
// how long its lease was held by the provider's own times. Time nobody accounted for is
// Unknown. An agent's clock that ran ahead is scaled back, so that Total is held.
func Reconcile(told Split, held time.Duration, gpus int) Split {
	want := held.Seconds() * float64(gpus)
	if want <= 0 {
		return Split{}
	}
	switch total := told.Total(); {
	case total > want:
		return told.Scale(want / total)
	default:
		told.Unknown += want - total
		return told
	}
}
