package pull

import "time"

// maxAsk bounds one ask. It only keeps a manifest with absurdly many slots from building
// one huge batch; the next ask follows at once.
const maxAsk = 256

// trustEmpty is how long a class that was found empty is believed to be so after other
// things happened. It saves an agent that works off a backlog of a less urgent class one
// round trip per pull, for a delay nobody notices. In a sweep over empty classes nothing
// else happens, so that it ends in waiting asks however slow the broker is.
const trustEmpty = 2 * time.Millisecond

// HoldFor is how long surplus messages are held before they are given back, of the 50 ms
// the design allows: a quick model frees a slot sooner, a slow one will not soon.
const HoldFor = 30 * time.Millisecond

// askTimeout ends an ask that does not wait and to which the broker said nothing, as when
// its leader went. A healthy broker answers in under a millisecond.
const askTimeout = 2 * time.Second

// The pause after an ask the broker could not serve: no consumer, no stream, shutting
// down. The controller may be opening the queue at this moment, so it is short at first.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = 2 * time.Second
)

// Ask is one pull request to send.
type Ask struct {
	Class int // index into functions.Classes()
	N     int // messages wanted
	Wait  bool
	ID    uint64 // answers name it
}

// Machine is the state of an agent's pulling. The zero value is unusable; see [New].
type Machine struct {
	slots   int
	running int // requests that hold a slot
	held    int // surplus messages
	stopped bool
	turn    turn
	lastID  uint64
	class   [classN]class
}

// class is what is known of one class's queue.
type class struct {
	ask     Ask       // the open one; N counts down, 0: none is open
	since   time.Time // the ask was sent
	empty   bool
	emptyAt time.Time // found so
	pause   time.Duration
	blocked time.Time // no ask before
}

// New returns the machine of an agent with so many slots.
func New(slots int) *Machine { return &Machine{slots: slots} }

// Running is the number of requests that hold a slot.
func (m *Machine) Running() int { return m.running }

// free is the number of slots that nothing is promised to.
func (m *Machine) free() int {
	n := m.slots - m.running - m.held
	for i := range m.class {
		if !m.class[i].ask.Wait {
			n -= m.class[i].ask.N
		}
	}
	return n
}

// Next is what to send now; call it after every event.
func (m *Machine) Next(now time.Time) []Ask {
	m.expire(now)
	free := m.free()
	if m.stopped || free <= 0 || m.asking() {
		return nil
	}
	var may [classN]bool
	for i := range m.class {
		c := &m.class[i]
		may[i] = c.ask.N == 0 && !now.Before(c.blocked) && !c.empty
	}
	if i, n, ok := m.turn.next(may, free); ok {
		return []Ask{m.open(i, n, false, now)}
	}
	return m.wait(now)
}

// asking tells whether an ask that does not wait is open: one at a time, because what the
// next one may ask for depends on its answer.
func (m *Machine) asking() bool {
	for i := range m.class {
		if m.class[i].ask.N > 0 && !m.class[i].ask.Wait {
			return true
		}
	}
	return false
}

// wait opens a waiting ask on every class that is known to be empty and has none.
func (m *Machine) wait(now time.Time) []Ask {
	var out []Ask
	for i := range m.class {
		if c := &m.class[i]; c.ask.N == 0 && !now.Before(c.blocked) {
			out = append(out, m.open(i, 1, true, now))
		}
	}
	return out
}

func (m *Machine) open(class, n int, wait bool, now time.Time) Ask {
	m.lastID++
	c := &m.class[class]
	c.ask = Ask{Class: class, N: n, Wait: wait, ID: m.lastID}
	c.since = now
	return c.ask
}

// expire forgets asks the broker must have forgotten.
func (m *Machine) expire(now time.Time) {
	for i := range m.class {
		c := &m.class[i]
		limit := askTimeout
		if c.ask.Wait {
			limit = WaitFor + askTimeout
		}
		if c.ask.N > 0 && now.Sub(c.since) >= limit {
			c.ask = Ask{}
		}
	}
}

// WaitFor is how long a waiting ask stays open at the broker before it is renewed.
const WaitFor = 30 * time.Second

// Delivered counts a message of a class that has so many more pending. It tells whether
// the message has a slot: if not, it is surplus, and held.
func (m *Machine) Delivered(class int, pending uint64, now time.Time) (start bool) {
	c := &m.class[class]
	c.pause = 0
	if c.ask.N > 0 {
		c.ask.N--
	}
	m.turn.took(class)
	c.empty, c.emptyAt = pending == 0, now
	m.doubt(now)
	if m.stopped || m.running+m.held >= m.slots {
		m.held++
		return false
	}
	m.running++
	return true
}

// Ended says that the broker ended an ask: it has nothing (more) of the class. ok is false
// for an ask that was forgotten before.
func (m *Machine) Ended(id uint64, now time.Time) (class int, ok bool) {
	i, ok := m.find(id)
	if !ok {
		return 0, false
	}
	c := &m.class[i]
	c.ask = Ask{}
	c.pause = 0
	c.empty, c.emptyAt = true, now
	m.turn.looked(i)
	return i, true
}

// Refused says that the broker could not serve an ask; it is made again after a pause.
func (m *Machine) Refused(id uint64, now time.Time) {
	i, ok := m.find(id)
	if !ok {
		return
	}
	c := &m.class[i]
	c.ask = Ask{}
	c.pause = min(max(2*c.pause, firstPause), lastPause)
	c.blocked = now.Add(c.pause)
	m.turn.looked(i)
}

func (m *Machine) find(id uint64) (class int, ok bool) {
	for i := range m.class {
		if m.class[i].ask.N > 0 && m.class[i].ask.ID == id {
			return i, true
		}
	}
	return 0, false
}

// doubt stops believing that classes are empty which were found so a while ago.
func (m *Machine) doubt(now time.Time) {
	for i := range m.class {
		if c := &m.class[i]; c.empty && c.ask.N == 0 && now.Sub(c.emptyAt) >= trustEmpty {
			c.empty = false
		}
	}
}

// Finished frees a slot.
func (m *Machine) Finished(now time.Time) {
	m.running--
	if !m.asking() {
		m.doubt(now)
	}
}

// Promoted gives a free slot to a held message; it tells whether there was one.
func (m *Machine) Promoted() bool {
	if m.stopped || m.held == 0 || m.running >= m.slots {
		return false
	}
	m.held--
	m.running++
	return true
}

// GaveBack counts a held message that was given back.
func (m *Machine) GaveBack() { m.held-- }

// Reset forgets every open ask: the connection was lost, and the broker's memory with it.
func (m *Machine) Reset() {
	for i := range m.class {
		m.class[i] = class{}
	}
}

// Stop asks for nothing more.
func (m *Machine) Stop() { m.stopped = true }

// Deadline is when, after now, Next must be called although nothing happened; zero: never.
func (m *Machine) Deadline(now time.Time) time.Time {
	var first time.Time
	sooner := func(t time.Time) {
		if t.After(now) && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	if m.stopped {
		return first
	}
	for i := range m.class {
		c := &m.class[i]
		switch {
		case c.ask.N > 0 && c.ask.Wait:
			sooner(c.since.Add(WaitFor + askTimeout))
		case c.ask.N > 0:
			sooner(c.since.Add(askTimeout))
		default:
			sooner(c.blocked)
		}
	}
	return first
}
