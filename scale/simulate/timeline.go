package simulate

import "time"

// Row is a function from a moment on, until its next row. With the trace and the profile
// the rows give every figure of a [Result]:
//
//   - GPU-seconds are the integral of Hot + Starting, the cold part that of Starting, the
//     useful part that of Busy, the idle part that of Hot - Busy, times GPUs per replica;
//   - waits: the queue is first come first served, so the k-th request of a function is
//     taken as soon as k of those that have arrived are not Queued, at its own arrival or at
//     a later row;
//   - a request is a cold start if none is Hot, those Draining apart, when it arrives;
//   - a decision is a row at which replicas are started or told to go, Starting + Hot -
//     Draining grows or falls.
type Row struct {
	T        time.Duration
	Function string
	Hot      int // replicas with the model on the GPU, those on their way out included
	Asleep   int // replicas with the model in host memory: none yet
	Starting int
	Queued   int
	Busy     int // of the hot ones, with requests in flight
	Draining int // of the hot ones, on their way out
}

// show tells the timeline what changed: a row for every event that changed something, in the
// order of events, several at one moment too.
func (f *function) show(now time.Duration) {
	if f.w.config.Timeline == nil {
		return
	}
	row := Row{
		T: now, Function: f.name, Hot: f.count[ready] + f.count[draining], Starting: f.count[starting],
		Queued: f.queue.len(), Busy: f.busy, Draining: f.count[draining],
	}
	last := f.shown
	last.T = now
	if row == last {
		return
	}
	f.shown = row
	f.w.config.Timeline(row)
}
