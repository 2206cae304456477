package scale

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// slotTime is the middle of a slot.
func slotTime(slot int) time.Time {
	return time.Unix(int64(slot)*int64(seasonSlot.Seconds()), 0).Add(seasonSlot / 2)
}

// even is a plain model that holds every quiet of up to a week for as likely.
func even(int) float64 { return 1.0 / float64(weekSlots) }

// TestSeasonRemembersDays: whatever came when, the last days hold just the slots with requests, and no more days than
// are kept; as JSON it is the same.
func TestSeasonRemembersDays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Season
		slot, used := 20_000*daySlots, map[int]bool{}
		for _, step := range rapid.SliceOfN(rapid.IntRange(0, 3*daySlots), 1, 80).Draw(t, "steps") {
			slot += step
			s.learn(slotTime(slot), even)
			used[slot] = true
		}
		if len(s.Used) > seasonDays || s.Day != slot/daySlots {
			t.Fatalf("%d days, the last %d", len(s.Used), s.Day)
		}
		want, last := 0, -1
		for at := slot; at > slot-seasonDays*daySlots; at-- {
			if at >= s.first() && s.used(at) != used[at] {
				t.Fatalf("slot %d: %t", at, s.used(at))
			}
			if next, ok := s.after(at); at >= s.first() && (ok != (last >= 0) || ok && next != last) {
				t.Fatalf("after %d comes %d, %t; want %d", at, next, ok, last)
			}
			if used[at] {
				want, last = want+1, at
			}
		}
		if end, ok := s.last(); !ok || end != slot {
			t.Fatalf("the last is %d, %t", end, ok)
		}
		data, err := json.Marshal(s)
		var again Season
		if err != nil || json.Unmarshal(data, &again) != nil || !reflect.DeepEqual(s, again.settled(slotTime(slot))) {
			t.Fatalf("%s, %v", data, err)
		}
	})
}

// TestSeasonIsProvenByDays: nothing is said before a few days were seen; what is used from nine to five is proven within
// ten days, and no longer after it is used at any time for as long.
func TestSeasonIsProvenByDays(t *testing.T) {
	var s Season
	day := 20_000
	proven := 0
	for range 10 {
		day++
		for h := 18; h < 34; h++ {
			s.learn(slotTime(day*daySlots+h), even)
		}
		if s.Proof >= seasonProof && proven == 0 {
			proven = day
		}
	}
	if first := 20_001; proven == 0 || proven-first < seasonLeast+1 {
		t.Errorf("proven on day %d of 10, after %v", proven-first+1, s.Proof)
	}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // traffic
	for range 10 {
		day++
		for h := range daySlots {
			if random.IntN(8) == 0 {
				s.learn(slotTime(day*daySlots+h), even)
			}
		}
	}
	if s.Proof >= seasonProof {
		t.Errorf("still proven after ten days without hours: %v", s.Proof)
	}
}

// TestSeasonIsNotProvenByChance: of functions that are used at random, hardly any seems to have hours.
func TestSeasonIsNotProvenByChance(t *testing.T) {
	const functions, days = 400, 28
	proven := 0
	for seed := range uint64(functions) {
		random := rand.New(rand.NewPCG(seed, 3)) //nolint:gosec // traffic
		mean := 1 + 20*random.Float64()          // slots
		var s Season
		var gaps Spans
		most := 0.0
		for at := 20_000.0 * float64(daySlots); at < float64((20_000+days)*daySlots); {
			gap := random.ExpFloat64() * mean
			at += gap
			s.learn(slotTime(int(at)), func(n int) float64 { return plainSlots(&gaps, &Spans{}, n) })
			gaps = gaps.Add(time.Duration(gap * float64(seasonSlot)))
			most = max(most, s.Proof)
		}
		if most >= seasonProof {
			proven++
		}
	}
	if proven > functions/50 {
		t.Errorf("%d of %d functions without hours seemed to have some", proven, functions)
	}
}

// TestSeasonKnowsWeekends: what is used on working days is expected on Monday, not on Saturday, once some weeks were seen.
func TestSeasonKnowsWeekends(t *testing.T) {
	var s Season
	monday := 20_000 / weekDays * weekDays
	for d := range 5*weekDays - 2 { // to a Friday
		for h := 18; d%weekDays < 5 && h < 34; h++ {
			s.learn(slotTime((monday+d)*daySlots+h), even)
		}
	}
	last, _ := s.last()
	f := s.ahead(last)
	w, ok := f.pays(0, 3000, 60)
	if want := 2*daySlots + daySlots - 33 + 18; !ok || w.from != want || w.to != want+1 {
		t.Errorf("expected in slots %d to %d, %t; want %d", w.from, w.to, ok, want)
	}
}

// TestSeasonPaysForWhatIsWorthIt: no window where misses are cheap, and what is worth a window is still worth one where
// misses are dearer; windows are in the future, do not overlap and have some chance.
func TestSeasonPaysForWhatIsWorthIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f seasonal
		for _, end := range rapid.SliceOfN(rapid.IntRange(2, weekSlots), 1, 30).Draw(t, "ends") {
			f.ends[end]++
			f.n++
		}
		f.soon = float64(rapid.IntRange(0, 30).Draw(t, "soon"))
		miss := rapid.Float64Range(60, 50_000).Draw(t, "miss")
		if w, ok := f.pays(0, 60, 60); ok {
			t.Fatalf("%+v where a miss costs no more than a start", w)
		}
		for after := 0; ; {
			w, ok := f.pays(after, miss, 60)
			if !ok {
				break
			}
			if w.from < 2 || w.to <= max(after, w.from) || w.from < after || w.sure <= 0 || w.sure > 1 {
				t.Fatalf("after %d: %+v", after, w)
			}
			after = w.to
		}
		if _, ok := f.pays(0, miss, 60); ok {
			if _, ok := f.pays(0, 2*miss, 60); !ok {
				t.Fatal("no window where misses are dearer")
			}
		}
	})
}

// TestSeasonNeverFlaps: however days were, in a week without requests a replica is started at most once for each
// slot in which some day's quiet ended, is kept for the slot, and nothing changes at moments that were not announced.
func TestSeasonNeverFlaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := State{Version: StateVersion, Habits: Habits{Missed: rapid.Float64Range(0, 100).Draw(t, "missed")}}
		s.Season = Season{Day: 20_000, Proof: seasonMost}
		for range rapid.IntRange(4, seasonDays).Draw(t, "days") {
			s.Season.Used = append(s.Season.Used, rapid.Uint64Range(0, 1<<daySlots-1).Draw(t, "used")|rapid.SampledFrom([]uint64{0, 1 << 20}).Draw(t, "same"))
		}
		s.Season.Used[len(s.Season.Used)-1] |= 1
		last, _ := s.Season.last()
		now := slotTime(last)
		s.Habits.Since = now.Add(-time.Duration(len(s.Season.Used)) * 24 * time.Hour) // its error budget is not that of a first minute
		end := now.Add(weekDays * 24 * time.Hour)
		spec := Spec{Revision: "a", Max: 3, Slots: 1, Wait: 5 * time.Second, WaitAt: 0.99, KeepAlive: AutoKeepAlive, GPUs: 1}
		obs := Observation{FreeGPUs: 8, Ended: 1, Replicas: []Replica{{ID: "r", Revision: "a", Phase: Ready, Since: now}}}
		starts, had, since := 0, 1, now
		for calls := 0; now.Before(end); calls++ {
			var d Decision
			s, d = Decide(spec, s, obs, now)
			switch {
			case d.Target > 1 || d.Target == 1 && had == 0 && d.Reason != ReasonPreWarm:
				t.Fatalf("%v: %+v", now, d)
			case d.Target == 1 && had == 0:
				starts, since = starts+1, now
			case d.Target == 0 && had == 1 && starts > 0 && now.Sub(since) < seasonSlot:
				t.Fatalf("started at %v, gone at %v", since, now)
			}
			had = d.Target
			obs = Observation{FreeGPUs: 8}
			if had == 1 {
				obs.Replicas = []Replica{{ID: "r", Revision: "a", Phase: Ready, Since: since}}
			}
			if calls > 4*seasonDays {
				t.Fatalf("%d decisions until %v", calls, now)
			}
			if d.Next.IsZero() {
				break
			}
			now = d.Next
		}
		if starts > seasonDays {
			t.Fatalf("%d starts", starts)
		}
	})
}

// TestSeasonBoundsWhatAStoreHeld: days of the future, days with more than 24 hours and too many of them.
func TestSeasonBoundsWhatAStoreHeld(t *testing.T) {
	now := slotTime(20_000 * daySlots)
	for _, s := range []Season{
		{Day: 20_001, Used: []uint64{1}}, {Day: 20_000, Used: []uint64{1 << daySlots}}, {Day: 3, Used: make([]uint64, 9)}, {Day: -5, Used: []uint64{1}},
	} {
		if got := s.settled(now); !reflect.DeepEqual(got, Season{}) {
			t.Errorf("%+v became %+v", s, got)
		}
	}
	long := Season{Day: 20_000, Used: make([]uint64, 2*seasonDays), Proof: 1e9}
	if got := long.settled(now); len(got.Used) != seasonDays || got.Proof != seasonMost {
		t.Errorf("%+v", got)
	}
}
