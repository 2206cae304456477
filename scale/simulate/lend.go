package simulate

import "time"

// What follows is for worlds whose pool is not theirs alone: others hold GPUs of it at times.

// Due is when something happens next without another request; false: nothing does.
func (w *World) Due() (time.Duration, bool) {
	if len(w.agenda) == 0 || w.agenda[0].due == never {
		return 0, false
	}
	return w.agenda[0].due, true
}

// Advance lets everything happen that is due until a moment, which is none before the last one.
func (w *World) Advance(to time.Duration) { w.advance(to) }

// Lend says how many GPUs of the pool others hold from now on. Functions that lack some look at once
// at what has come back.
func (w *World) Lend(gpus int) {
	more := gpus < w.lent
	if w.lent = gpus; more {
		w.offer(w.now)
	}
}

// Held is how many GPUs the functions hold.
func (w *World) Held() int { return w.used }

// Lacks is how many GPUs more they would hold, were there any free.
func (w *World) Lacks() (gpus int) {
	for _, f := range w.functions {
		gpus += f.lacks * f.gpus
	}
	return gpus
}
