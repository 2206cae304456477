package page

import (
	"time"

	policies "stoker.dev/stoker/scale/simulate"
)

// Recorder keeps of a run what the page draws over time.
type Recorder struct {
	settings func(function string) policies.Settings
	begin    time.Duration
	began    bool
	demand   *strip
	lines    map[string]*line
}

// NewRecorder begins one. The settings tell slots and GPUs of a function.
func NewRecorder(settings func(function string) policies.Settings) *Recorder {
	return &Recorder{settings: settings, demand: newStrip(), lines: map[string]*line{}}
}

// Arrive takes a request: its service time fills its share of a replica from its arrival on,
// as if it never waited.
func (r *Recorder) Arrive(a policies.Arrival) {
	r.from(a.At)
	s := r.settings(a.Function)
	share := float64(max(1, s.GPUs)) / float64(max(1, s.Slots))
	r.demand.add(share, a.At-r.begin, a.At-r.begin+a.Service)
}

// from notes the first moment there is.
func (r *Recorder) from(at time.Duration) {
	if !r.began {
		r.began, r.begin = true, at
	}
}

// Of is told every change of a policy.
func (r *Recorder) Of(policy string) func(policies.Row) {
	l := &line{held: newStrip(), cold: newStrip(), busy: newStrip(), queued: newStrip(), last: map[string]policies.Row{}}
	r.lines[policy] = l
	return func(row policies.Row) {
		r.from(row.T)
		l.row(row, row.T-r.begin, float64(max(1, r.settings(row.Function).GPUs)))
	}
}

// line is what a policy's functions hold together, GPUs, and what waits, requests.
type line struct {
	held, cold, busy, queued *strip
	now                      [4]float64
	at                       time.Duration
	last                     map[string]policies.Row
}

func (l *line) row(row policies.Row, at time.Duration, gpus float64) {
	l.until(at)
	was := l.last[row.Function]
	l.last[row.Function] = row
	l.now[0] += gpus * float64(row.Hot+row.Starting-was.Hot-was.Starting)
	l.now[1] += gpus * float64(row.Starting-was.Starting)
	l.now[2] += gpus * float64(row.Busy-was.Busy)
	l.now[3] += float64(row.Queued - was.Queued)
	l.held.touch(l.now[0], at)
	l.queued.touch(l.now[3], at)
}

// until says that all stayed as it was until a moment.
func (l *line) until(at time.Duration) {
	for i, s := range []*strip{l.held, l.cold, l.busy, l.queued} {
		s.hold(l.now[i], l.at, at)
	}
	l.at = at
}

// align gives all strips one width.
func (r *Recorder) align() time.Duration {
	all := []*strip{r.demand}
	for _, l := range r.lines {
		all = append(all, l.held, l.cold, l.busy, l.queued)
	}
	width := firstBin
	for _, s := range all {
		width = max(width, s.width)
	}
	for _, s := range all {
		s.widen(width)
	}
	return width
}
