package loan

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func at(sec float64) time.Time { return now.Add(time.Duration(sec * float64(time.Second))) }

func must(t rapid.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func lent(id string, gpus int) Loan {
	return Loan{ID: id, Job: "j", Lender: "inference", GPUs: gpus, Until: at(3600)}
}

func TestEveryPartOfAGiveBackIsTimed(t *testing.T) {
	var b Book
	must(t, b.Lend(lent("a", 4), now), b.Recall("a", "wanted", at(130), at(100)), b.Notice("a", at(101)), b.Save("a", at(106)), b.Release("a", "", 0, at(108)))
	if len(b.Open) != 0 || len(b.Closed) != 1 || b.Closed[0].State != Released || b.Closed[0].Cause != "wanted" || b.Closed[0].GPUs != 4 {
		t.Fatalf("%+v", b)
	}
	took, _ := b.Closed[0].GiveBack()
	if save, _ := b.Closed[0].Save(); took != 8*time.Second || save != 5*time.Second {
		t.Errorf("given back in %v, of that %v for the checkpoint; want 8 s and 5 s", took, save)
	}
	if c := b.CreditsAt(at(999)); len(c) != 1 || c[0] != (Credit{Lender: "inference", GPUSeconds: 432, Loans: 1, Recalls: 1}) {
		t.Errorf("credits %+v, want 4 GPUs for 108 s", c)
	}
}

func TestWhoHoldsItAtTheDeadlineIsOverdue(t *testing.T) {
	var b Book
	must(t, b.Lend(lent("a", 1), now), b.Lend(lent("b", 1), now), b.Recall("a", "wanted", at(30), now))
	if late := b.Overdue(at(29)); late != nil {
		t.Errorf("before the deadline: %+v", late)
	}
	if late := b.Overdue(at(30)); len(late) != 1 || late[0].ID != "a" || !late[0].Killed {
		t.Errorf("at the deadline: %+v", late)
	}
	if late := b.Overdue(at(31)); late != nil {
		t.Errorf("once more: %+v", late)
	}
	must(t, b.Release("a", "", 0, at(31)))
	if c := b.Credits[0]; c.Overdue != 1 || !b.Closed[0].Killed || b.Overdue(at(99)) != nil {
		t.Errorf("released: %+v", b)
	}
	must(t, b.Recall("b", "wanted", at(60), at(31)), b.Release("b", "", 0, at(60))) // nobody looked in between
	if c := b.Credits[0]; c.Overdue != 2 || !b.Closed[1].Killed {
		t.Errorf("released at the deadline: %+v", b)
	}
}

func TestAPartIsGivenBackAndTheRestLentOn(t *testing.T) {
	var b Book
	must(t, b.Lend(lent("a", 8), now), b.Recall("a", "wanted", at(40), at(10)), b.Release("a", "", 2, at(20)))
	if l := b.Open[0]; l.GPUs != 2 || l.State != Lent || !l.Recalled.IsZero() || b.Lent() != 2 || b.Closed[0].GPUs != 6 || b.Closed[0].Released.Sub(b.Closed[0].Recalled) != 10*time.Second {
		t.Errorf("%+v", b)
	}
	if c := b.CreditsAt(at(30)); c[0].GPUSeconds != 8*20+2*10 {
		t.Errorf("credit %v", c[0].GPUSeconds)
	}
}

func TestWhatComesTwiceOrTooLateChangesNothing(t *testing.T) {
	var b Book
	must(t, b.Lend(lent("a", 2), now), b.Lend(lent("a", 2), at(5)), b.Notice("a", at(6)), b.Save("a", at(7)))
	if l := b.Open[0]; l.State != Lent || l.Began != now || !l.Noticed.IsZero() || b.Credits[0].Loans != 1 {
		t.Errorf("%+v; nobody has recalled it", l)
	}
	must(t, b.Recall("a", "wanted", at(40), at(10)), b.Recall("a", "again", at(35), at(12)), b.Extend("a", at(9999)), b.Release("a", "", 2, at(13)))
	if l := b.Open[0]; l.Recalled != at(10) || l.Cause != "wanted" || l.Deadline != at(35) || l.Until != at(3600) || b.Credits[0].Recalls != 1 {
		t.Errorf("%+v", l)
	}
}

func TestALoanThatEndsByItselfIsNoGiveBack(t *testing.T) {
	var b Book
	must(t, b.Lend(lent("a", 2), now), b.Extend("a", at(7200)), b.Release("a", "succeeded", 0, at(5000)))
	l := b.Closed[0]
	if _, given := l.GiveBack(); given || l.Cause != "succeeded" || l.Until != at(7200) {
		t.Errorf("%+v", b)
	}
}

func TestTheBookRefuses(t *testing.T) {
	b := Book{}
	must(t, b.Lend(lent("a", 2), now))
	before := fmt.Sprintf("%+v", b)
	for text, err := range map[string]error{
		`lend 2 GPUs of "inference" to "": bad loan: it needs an ID`: b.Lend(lent("", 2), now),
		`at least 1 GPU`:          b.Lend(lent("b", 0), now),
		`that is not after`:       b.Lend(lent("b", 1), at(3600)),
		`it has 2 of inference`:   b.Lend(lent("a", 3), now),
		`loan b: no such loan`:    b.Recall("b", "", now, now),
		`release b: no such loan`: b.Release("b", "", 0, now),
	} {
		if err == nil || !strings.Contains(err.Error(), text) || !errors.Is(err, ErrLoan) && !errors.Is(err, ErrUnknown) {
			t.Errorf("%v, want %q", err, text)
		}
	}
	if after := fmt.Sprintf("%+v", b); after != before {
		t.Errorf("changed by what was refused: %s\n%s", before, after)
	}
}

func TestASummaryIsOfWhatWasOpenSince(t *testing.T) {
	var b Book
	if s := b.Since(now, now); s.Loans != 0 || s.GiveBack != (Times{}) {
		t.Errorf("of none: %+v", s)
	}
	for i := range 100 { // one after the other, each given back 1 to 100 s after its recall
		id, from := fmt.Sprint(i), float64(1000*i)
		l := lent(id, 1)
		l.Until = at(1e6)
		must(t, b.Lend(l, at(from)), b.Recall(id, "wanted", at(from+90), at(from)), b.Notice(id, at(from)), b.Save(id, at(from+1)), b.Release(id, "", 0, at(from+float64(i+1))))
	}
	l := lent("open", 3)
	l.Until = at(1e6)
	must(t, b.Lend(l, at(99_900)))
	s := b.Since(now, at(1e5))
	if s.Loans != 101 || s.Open != 1 || s.GPUs != 3 || s.Recalls != 100 || s.Overdue != 11 || s.GiveBack != (Times{100, 51, 100}) || s.Save != (Times{100, 1, 1}) || !s.From.Equal(now) {
		t.Errorf("of all: %+v", s)
	}
	if s := b.Since(at(90_000), at(1e5)); s.Loans != 11 || s.GiveBack != (Times{10, 96, 100}) || len(s.Credits) != 1 || s.Credits[0].Loans != 101 {
		t.Errorf("of the last ten that were given back and the one that is open: %+v", s)
	}
}

// TestTheBookIsBounded: what is forgotten is told of by where a summary begins.
func TestTheBookIsBounded(t *testing.T) {
	var b Book
	for i := range KeptLoans + 100 {
		id, clock := fmt.Sprint(i), float64(i)
		must(t, b.Lend(lent(id, 1), at(clock)), b.Release(id, "ended", 0, at(clock+1)))
	}
	s := b.Since(now, at(2000))
	if len(b.Closed) != KeptLoans || s.Loans != KeptLoans || !s.From.Equal(at(101)) || s.Credits[0].Loans != KeptLoans+100 {
		t.Errorf("%d are kept, and %+v", len(b.Closed), s)
	}
	if text, err := json.Marshal(b); err != nil || len(text) > 500_000 {
		t.Errorf("it takes %d bytes, %v", len(text), err)
	}
}

// TestCreditsAreWhatWasLent: whatever happens in between, and however often the book is written down
// and read back, each GPU-second that was on loan is credited once.
func TestCreditsAreWhatWasLent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Book
		clock, want := now, 0.0
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			d := rapid.IntRange(0, 100).Draw(t, "passes")
			want += float64(b.Lent() * d)
			clock = clock.Add(time.Duration(d) * time.Second)
			id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "id")
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0, 1:
				_ = b.Lend(Loan{ID: id, Lender: "l" + id, GPUs: rapid.IntRange(1, 8).Draw(t, "gpus"), Until: clock.Add(time.Hour)}, clock)
			case 2:
				_ = b.Recall(id, "wanted", clock.Add(30*time.Second), clock)
			case 3:
				_ = b.Release(id, "ended", rapid.IntRange(0, 8).Draw(t, "left"), clock)
			case 4:
				b.Overdue(clock)
			}
			text, err := json.Marshal(b)
			must(t, err)
			b = Book{}
			must(t, json.Unmarshal(text, &b))
		}
		got := 0.0
		for _, c := range b.CreditsAt(clock) {
			got += c.GPUSeconds
		}
		if math.Abs(got-want) > 1e-6 {
			t.Fatalf("credited %v GPU-seconds, lent %v", got, want)
		}
	})
}
