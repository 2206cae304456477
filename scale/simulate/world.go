package simulate

import (
	"errors"
	"fmt"
	"time"

	"stoker.dev/stoker/scale"
)

// ErrOrder is returned for an arrival earlier than the one before it.
var ErrOrder = errors.New("arrivals out of order")

// Config is what a world is made of.
type Config struct {
	Family Family
	// Settings of a function, by its name.
	Settings func(function string) Settings
	Seed     uint64
	Pool     int           // GPUs there are; 0: no bound
	Price    float64       // USD per GPU-hour
	Timeline func(Row)     // told every change; nil: nobody
	Begin    time.Duration // where accounting begins, for functions that are always on
	Always   []string      // functions that exist from Begin on
	Patience time.Duration // how long after the last arrival what waits may wait on; 0: DefaultPatience
}

// DefaultPatience ends a simulation whose policy starts nothing for what waits.
const DefaultPatience = 24 * time.Hour

// World runs the functions of one trace under one policy.
type World struct {
	config    Config
	family    Family
	used      int // GPUs held
	lent      int // GPUs of the pool that others hold
	now       time.Duration
	began     bool
	begin     time.Duration
	functions []*function
	byName    map[string]*function
	agenda    agenda
	waits     waits
}

// New makes an empty world.
func New(c Config) *World {
	w := &World{config: c, family: c.Family, byName: map[string]*function{}, waits: newWaits(), begin: c.Begin}
	if c.Family.Shared != nil {
		w.family.New = c.Family.Shared()
	}
	for _, name := range c.Always {
		f := w.function(name)
		for range c.Family.Always(name) {
			f.makeReady(f.add(c.Begin), c.Begin)
		}
		f.areaAt = c.Begin
		f.show(c.Begin)
	}
	w.began = len(c.Always) > 0
	return w
}

// function finds or makes a function.
func (w *World) function(name string) *function {
	if f := w.byName[name]; f != nil {
		return f
	}
	s := w.config.Settings(name)
	f := &function{
		w: w, name: name, index: len(w.functions), slots: max(1, s.Slots), gpus: max(1, s.GPUs), policy: w.family.New(name, s),
		draws: newDraws(w.config.Seed, name), cold: s.ColdStart, wait: s.Wait, areaAt: w.now, evalAt: never, lookAt: never, due: never,
	}
	f.view.f = f
	w.byName[name] = f
	w.functions = append(w.functions, f)
	w.agenda.add(f)
	return f
}

// Arrive takes one request, after everything that happens before it. The error is ErrOrder.
func (w *World) Arrive(a Arrival) error {
	if a.At < w.now {
		return fmt.Errorf("%w: %v after %v", ErrOrder, a.At, w.now)
	}
	w.advance(a.At)
	if !w.began {
		w.began, w.begin = true, a.At
	}
	w.function(a.Function).arrive(a)
	return nil
}

// advance lets everything happen that is due at a moment or before it.
func (w *World) advance(to time.Duration) {
	for len(w.agenda) > 0 && w.agenda[0].due <= to {
		f := w.agenda[0]
		w.now = f.due
		f.step()
	}
	w.now = to
}

// finish lets what waits and runs end, and gives the moment at which it has.
func (w *World) finish() time.Duration {
	patience := w.config.Patience
	if patience == 0 {
		patience = DefaultPatience
	}
	last := w.now
	for end := w.now + patience; w.Working() && w.agenda[0].due <= end; {
		f := w.agenda[0]
		w.now = f.due
		f.step()
		last = w.now
	}
	return last
}

// Working tells whether anything waits or runs.
func (w *World) Working() bool {
	for _, f := range w.functions {
		if f.queue.len()+f.inFlight > 0 {
			return true
		}
	}
	return false
}

// freeGPUs is what a function could have now.
func (w *World) freeGPUs() int {
	if w.config.Pool == 0 {
		return scale.UnknownGPUs
	}
	return w.config.Pool - w.used - w.lent
}

// room is how many more replicas of so many GPUs there is room for.
func (w *World) room(gpus int) int {
	if w.config.Pool == 0 {
		return scale.MaxReplicas
	}
	return max(0, w.config.Pool-w.used-w.lent) / gpus
}

// released gives GPUs back, and has those look again that lack some.
func (w *World) released(gpus int, now time.Duration) {
	w.used -= gpus
	if w.config.Pool > 0 {
		w.offer(now)
	}
}

// offer has functions look at once that lack GPUs.
func (w *World) offer(now time.Duration) {
	for _, f := range w.functions {
		if f.short {
			f.lookAt = min(f.lookAt, now)
			f.plan()
		}
	}
}

// lookAgain has functions look at once.
func (w *World) lookAgain(names []string, now time.Duration) {
	for _, name := range names {
		f := w.byName[name]
		f.lookAt = min(f.lookAt, now)
		f.plan()
	}
}

// waited notes how long a request waited.
func (w *World) waited(f *function, d time.Duration) {
	w.waits.record(d)
	if d <= f.wait {
		f.tally.inTime++
	} else {
		f.view.Late++
	}
}
