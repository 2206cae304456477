package pull

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// broker plays the three queues of a function, for one machine or several.
type broker struct {
	queue [classN]int
	open  []Ask // as the broker sees them: what it was sent and did not end
}

// serve does one thing the broker may do now: hand a message to an ask, or end an ask that
// does not wait and finds nothing. It returns false when there is nothing to do.
func (b *broker) serve(m *Machine, pick int, now time.Time) bool {
	for i := range b.open {
		k := (i + pick) % len(b.open)
		a := &b.open[k]
		switch {
		case b.queue[a.Class] > 0:
			b.queue[a.Class]--
			a.N--
			m.Delivered(a.Class, uint64(b.queue[a.Class]), now)
			if a.N == 0 {
				b.open = append(b.open[:k], b.open[k+1:]...)
			}
			return true
		case !a.Wait:
			id := a.ID
			b.open = append(b.open[:k], b.open[k+1:]...)
			m.Ended(id, now)
			return true
		}
	}
	return false
}

func (b *broker) wanted() int {
	n := 0
	for _, a := range b.open {
		n += a.N
	}
	return n
}

// TestAsksForWhatItCanTake plays publishers, a broker and model servers in any order, and
// says what must hold after every step: slots are never overbooked, what is asked for is
// never more than the free slots and a surplus of two, and in the end nothing waits.
func TestAsksForWhatItCanTake(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(1, 12).Draw(t, "slots")
		m, b, now := New(slots), &broker{}, start
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 4000).Draw(t, "µs")) * time.Microsecond)
			act(t, m, b, now)
			b.open = append(b.open, m.Next(now)...)
			for m.Promoted() {
			}
			check(t, m, b, slots)
		}
		drain(t, m, b, slots, now)
	})
}

func act(t *rapid.T, m *Machine, b *broker, now time.Time) {
	switch rapid.IntRange(0, 4).Draw(t, "what") {
	case 0:
		b.queue[rapid.IntRange(0, classN-1).Draw(t, "class")] += rapid.IntRange(1, 20).Draw(t, "burst")
	case 1, 2:
		if len(b.open) > 0 {
			b.serve(m, rapid.IntRange(0, len(b.open)-1).Draw(t, "pick"), now)
		}
	case 3:
		if m.Running() > 0 {
			m.Finished(now)
		}
	case 4:
		if m.held > 0 {
			m.GaveBack()
			b.queue[rapid.IntRange(0, classN-1).Draw(t, "returned to")]++
		}
	}
}

func check(t *rapid.T, m *Machine, b *broker, slots int) {
	if m.Running() > slots {
		t.Fatalf("%d run in %d slots", m.Running(), slots)
	}
	if m.held > 2 {
		t.Fatalf("a surplus of %d is held, allowed: 2", m.held)
	}
	if free := slots - m.Running(); b.wanted()+m.held > free+2 {
		t.Fatalf("%d asked for and %d held with %d free slots", b.wanted(), m.held, free)
	}
}

// drain lets everything finish: a machine that stops asking while messages wait and slots
// are free never gets there.
func drain(t *rapid.T, m *Machine, b *broker, slots int, now time.Time) {
	for range 10_000 {
		now = now.Add(100 * time.Microsecond)
		for m.Promoted() {
		}
		b.open = append(b.open, m.Next(now)...)
		if b.serve(m, 0, now) {
			continue
		}
		if m.Running() > 0 {
			m.Finished(now)
			continue
		}
		left := b.queue[0] + b.queue[1] + b.queue[2]
		if left > 0 || m.held > 0 {
			t.Fatalf("stuck: %d wait, %d held, %d slots free, open asks %v", left, m.held, slots, b.open)
		}
		if len(b.open) != classN {
			t.Fatalf("idle with asks %v, want one waiting on each of %d classes", b.open, classN)
		}
		return
	}
	t.Fatal("no end after 10,000 steps")
}

// TestBatchNeverStarves keeps the two lower classes full and the most urgent one anything,
// and looks at the order of what is pulled: never more than FairAfter in a row pass a class,
// plus the one of another class that was due as well.
func TestBatchNeverStarves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(1, 70).Draw(t, "slots")
		m, b, now := New(slots), &broker{}, start
		var passed [classN]int
		for pulled := 0; pulled < 400; {
			now = now.Add(time.Duration(rapid.IntRange(1, 3000).Draw(t, "µs")) * time.Microsecond)
			b.queue = [classN]int{rapid.IntRange(0, 100).Draw(t, "interactive"), 100, 100}
			b.open = append(b.open, m.Next(now)...)
			before := b.queue
			if !b.serve(m, 0, now) {
				t.Fatalf("nothing asked for with %d of %d running", m.Running(), slots)
			}
			for m.Promoted() {
			}
			for c := range before {
				if b.queue[c] < before[c] {
					pulled++
					follow(t, &passed, c)
				}
			}
			for m.Running() > 0 && (m.Running() == slots || rapid.Bool().Draw(t, "finish")) {
				m.Finished(now)
			}
		}
	})
}

func follow(t *rapid.T, passed *[classN]int, class int) {
	passed[class] = 0
	for low := class + 1; low < classN; low++ {
		if passed[low]++; passed[low] > FairAfter+1 {
			t.Fatalf("class %d was passed over %d times", low, passed[low])
		}
	}
}

func TestMostUrgentFirst(t *testing.T) {
	m, b, now := New(1), &broker{queue: [classN]int{3, 3, 3}}, start
	var order []int
	for len(order) < 9 {
		b.open = append(b.open, m.Next(now)...)
		before := b.queue
		b.serve(m, 0, now)
		for c := range before {
			if b.queue[c] < before[c] {
				order = append(order, c)
				m.Finished(now)
			}
		}
		now = now.Add(time.Millisecond)
	}
	for i, c := range order {
		if c != i/3 {
			t.Fatalf("pulled classes %v, want the most urgent first", order)
		}
	}
}

func TestWaitsOnlyWhenAllAreEmpty(t *testing.T) {
	m, now := New(4), start
	for class := range classN {
		asks := m.Next(now)
		if len(asks) != 1 || asks[0].Wait || asks[0].Class != class || asks[0].N != 4 {
			t.Fatalf("asks %v, want 4 of class %d without waiting", asks, class)
		}
		now = now.Add(50 * time.Millisecond) // a broker far away
		if _, ok := m.Ended(asks[0].ID, now); !ok {
			t.Fatal("the ask is unknown")
		}
	}
	asks := m.Next(now)
	if len(asks) != classN {
		t.Fatalf("asks %v, want one for each class", asks)
	}
	for _, a := range asks {
		if !a.Wait || a.N != 1 {
			t.Errorf("ask %+v, want one message, waiting", a)
		}
	}
	if more := m.Next(now); more != nil {
		t.Errorf("asked again: %v", more)
	}
}

func TestRefusedAsksPause(t *testing.T) {
	m, now := New(1), start
	var pauses []time.Duration
	for len(pauses) < 10 {
		asks := m.Next(now)
		for _, a := range asks {
			m.Refused(a.ID, now)
		}
		next := m.Deadline(now)
		if next.IsZero() {
			continue // the other classes are asked first
		}
		pauses = append(pauses, next.Sub(now))
		now = next
	}
	for _, p := range pauses {
		if p <= 0 || p > lastPause {
			t.Errorf("pauses %v, want all above 0 and at most %v", pauses, lastPause)
		}
	}
}

func TestLostAsksAreMadeAgain(t *testing.T) {
	m, now := New(1), start
	first := m.Next(now)
	if at := m.Deadline(now); at.Sub(now) != askTimeout {
		t.Fatalf("deadline in %v, want %v", at.Sub(now), askTimeout)
	}
	now = now.Add(askTimeout)
	again := m.Next(now)
	if len(first) != 1 || len(again) != 1 || again[0].ID == first[0].ID {
		t.Fatalf("asked %v, then %v", first, again)
	}
	if _, ok := m.Ended(first[0].ID, now); ok {
		t.Error("an answer to a forgotten ask counted")
	}
	m.Reset()
	if asks := m.Next(now); len(asks) != 1 {
		t.Errorf("after a reset: asks %v, want one", asks)
	}
}

func TestStoppedAsksNothing(t *testing.T) {
	m := New(2)
	m.Stop()
	if asks := m.Next(start); asks != nil {
		t.Errorf("asked %v", asks)
	}
	if m.Delivered(0, 0, start) || m.Promoted() || m.held != 1 {
		t.Error("a request that arrives after the stop must be held for giving back")
	}
	if d := m.Deadline(start); !d.IsZero() {
		t.Errorf("deadline %v", d)
	}
}
