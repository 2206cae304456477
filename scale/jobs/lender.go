package jobs

import "time"

// Lender is inference, whose GPUs idle at times.
type Lender struct {
	// Offers are what may be on loan: an offer that ends later is of fewer GPUs, and part of those
	// that end before. What is on loan beyond the largest is recalled.
	Offers []Offer `json:"offers,omitempty"`
	// Tolerance is how long the lender can wait for GPUs it wants back; who may take longer gets
	// no loan. 0: it does not say.
	Tolerance time.Duration `json:"tolerance,omitempty"`
}

// Offer is so many GPUs that are expected to stay idle until then.
type Offer struct {
	GPUs  int       `json:"gpus"`
	Until time.Time `json:"until"`
}

// most is how many GPUs may be on loan now.
func (l *Lender) most(now time.Time) int {
	n := 0
	for _, o := range l.Offers {
		if o.Until.After(now) {
			n = max(n, o.GPUs)
		}
	}
	return n
}

// until is the latest moment until which so many GPUs may be on loan; zero: they may not.
func (l *Lender) until(gpus int) (t time.Time) {
	for _, o := range l.Offers {
		if o.GPUs >= gpus && o.Until.After(t) {
			t = o.Until
		}
	}
	return t
}

// trusts tells whether a job gives back what it borrows in the time it and the lender have said. It
// is killed after its own, so what was measured says whether it would then lose its work.
func (l *Lender) trusts(j *Job) bool {
	return j.borrows() && j.Preemptible && j.Drain <= j.GiveBack && (l.Tolerance == 0 || j.GiveBack <= l.Tolerance)
}

// worth is how long a loan has to be for a job: as with preemptions, what is lost at its end is at
// most a fifth of it.
func worth(j *Job) time.Duration { return LossesWorked*j.Loss + j.Drain }
