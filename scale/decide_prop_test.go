package scale

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
)

// TestDecideProperties states what holds of every decision, in worlds where replicas start
// late or never, crash, fall silent and come back while people change their minds.
func TestDecideProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			w.happen(t)
			before, obs := w.state, w.observe(t)
			kept := encode(t, before)
			after, d := Decide(w.spec, before, obs, w.now)
			if encode(t, before) != kept {
				t.Fatal("the state handed in was changed")
			}
			checkBounds(t, w.spec, after, d)
			checkVictims(t, w.spec, before, obs, d)
			checkEpoch(t, before, after, d)
			checkSameAgain(t, w.spec, before, obs, w.now, after, d)
			checkCalm(t, w.spec, after, obs, w.now, d)
			checkMoreLoad(t, w.spec, before, obs, w.now, d)
			checkBudget(t, w.spec, before, obs, w.now)
			if !d.Next.IsZero() && !d.Next.After(w.now) {
				t.Fatalf("next %v is not after now %v", d.Next, w.now)
			}
			w.state = after
			if rapid.IntRange(0, 4).Draw(t, "obeyed") > 0 {
				w.obey(d)
			}
		}
	})
}

// Never more than the maximum can serve, never more than was set by hand, nothing while
// paused or being deleted. Replicas set aside are counted beyond, since they serve nobody.
func checkBounds(t *rapid.T, spec Spec, after State, d Decision) {
	counted := d.Target - len(after.Aside)
	switch {
	case counted < 0 || counted > spec.Max:
		t.Fatalf("target %d (%d set aside) is outside 0 to max %d", d.Target, len(after.Aside), spec.Max)
	case (spec.Paused || spec.Deleting) && d.Target != 0:
		t.Fatalf("target %d while paused or deleting", d.Target)
	case spec.Pinned != nil && (counted > max(0, *spec.Pinned) || *spec.Pinned <= 0 && d.Target != 0):
		t.Fatalf("target %d while pinned to %d", d.Target, *spec.Pinned)
	case d.Reason == ReasonNone || d.Reason.Meaning() == "":
		t.Fatalf("reason %q is not in the closed set", d.Reason)
	case d.Limit != ReasonNone && d.Limit.Meaning() == "":
		t.Fatalf("limit %q is not in the closed set", d.Limit)
	}
}

// What a budget allows is a maximum: never more, and a decision made again asks for the same.
func checkBudget(t *rapid.T, spec Spec, before State, obs Observation, now time.Time) {
	allowed := rapid.IntRange(0, 4).Draw(t, "budget")
	obs.Budget = &allowed
	after, d := Decide(spec, before, obs, now)
	checkBounds(t, spec, after, d)
	if counted := d.Target - len(after.Aside); counted > allowed {
		t.Fatalf("target %d (%d set aside), and the budget allows %d", d.Target, len(after.Aside), allowed)
	}
	obs.Exits, obs.Ended, obs.Refused, obs.ColdStarts = nil, 0, 0, nil
	if _, again := Decide(spec, after, obs, now); again.Target != d.Target {
		t.Fatalf("target %d, and %d when asked again", d.Target, again.Target)
	}
}

// Victims exist and are not gone. A silent one is never among them for being silent or
// idle: only people (or a new revision) let it go. What stays of the current revision is
// no more than the target.
func checkVictims(t *rapid.T, spec Spec, before State, obs Observation, d Decision) {
	if !slices.IsSorted(d.Victims) || len(slices.Compact(slices.Clone(d.Victims))) != len(d.Victims) {
		t.Fatalf("victims %v are not a sorted set", d.Victims)
	}
	for _, id := range d.Victims {
		i := slices.IndexFunc(obs.Replicas, func(r Replica) bool { return r.ID == id && r.Phase != Gone })
		if i < 0 {
			t.Fatalf("victim %s is not there", id)
		}
		r := obs.Replicas[i]
		ordered := spec.Paused || spec.Deleting || spec.Pinned != nil || r.Revision != spec.Revision ||
			slices.Contains(before.Last.Victims, id) || len(obs.Replicas) > spec.Max
		if r.Phase == Silent && !ordered {
			t.Fatalf("silent %s is let go: %s", id, d.Reason)
		}
	}
	staying := 0
	for _, r := range obs.Replicas {
		if r.Revision == spec.Revision && r.Phase != Gone && r.Phase != Draining && !slices.Contains(d.Victims, r.ID) {
			staying++
		}
	}
	if staying > d.Target {
		t.Fatalf("%d of the current revision stay, the target is %d", staying, d.Target)
	}
}

// The epoch never falls, and rises exactly when what must be done, or how it looks, changes.
func checkEpoch(t *rapid.T, before, after State, d Decision) {
	want := before.Epoch
	if before.Epoch == 0 || !sameDeed(d, before.Last) {
		want++
	}
	if d.Epoch != want || after.Epoch != want {
		t.Fatalf("epoch %d → %d, want %d", before.Epoch, d.Epoch, want)
	}
	if n := len(after.Recent); n == 0 || n > MaxRecent || after.Recent[n-1].Epoch != after.Epoch {
		t.Fatalf("the ring of %d does not end with epoch %d", n, after.Epoch)
	}
}

// The same inputs give the same decision: again, through JSON, and with replicas in
// another order.
func checkSameAgain(t *rapid.T, spec Spec, before State, obs Observation, now time.Time, after State, d Decision) {
	stored, err := DecodeState([]byte(encode(t, before)))
	if err != nil {
		t.Fatal(err)
	}
	obs.Replicas = slices.Clone(obs.Replicas)
	slices.Reverse(obs.Replicas)
	after2, d2 := Decide(spec, stored, obs, now)
	if !reflect.DeepEqual(d, d2) {
		t.Fatalf("the decision differs through JSON:\n%+v\n%+v", d, d2)
	}
	if encode(t, after) != encode(t, after2) {
		t.Fatalf("the state differs through JSON:\n%s\n%s", encode(t, after), encode(t, after2))
	}
}

// Deciding again at once, with nothing new, changes nothing.
func checkCalm(t *rapid.T, spec Spec, after State, obs Observation, now time.Time, d Decision) {
	obs.Exits, obs.Ended, obs.ServiceSec, obs.ColdStarts, obs.Refused = nil, 0, 0, nil, 0
	if _, again := Decide(spec, after, obs, now); again.Epoch != d.Epoch {
		t.Fatalf("deciding again at once makes another decision:\n%+v\n%+v", d, again)
	}
}

// More load never lowers the target.
func checkMoreLoad(t *rapid.T, spec Spec, before State, obs Observation, now time.Time, d Decision) {
	more := obs
	if rapid.Bool().Draw(t, "moreRuns") {
		more.InFlight += rapid.IntRange(1, 100).Draw(t, "more")
	} else {
		more.Pending = map[functions.Class]int{functions.Batch: obs.Pending[functions.Batch] + rapid.IntRange(1, 100).Draw(t, "more")}
	}
	if _, loaded := Decide(spec, before, more, now); loaded.Target < d.Target {
		t.Fatalf("more load lowers the target from %d to %d:\n%+v\n%+v", d.Target, loaded.Target, d, loaded)
	}
}

func encode(t interface{ Fatal(...any) }, s State) string {
	data, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// FuzzDecodeState: whatever a store holds, it is refused, or decided with safely.
func FuzzDecodeState(f *testing.F) {
	s, _ := Decide(Spec{Revision: "a", Max: 2, GPUs: 1}, State{}, Observation{InFlight: 3, FreeGPUs: 4}, origin)
	seed, err := s.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"version":1,"epoch":9,"size":-5,"window":{"points":[{"n":9,"at":"2999-01-01T00:00:00Z"}]}}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"failures":{"count":99,"until":"2999-01-01T00:00:00Z"},"placing":{"goal":-1,"unseen":99}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := DecodeState(data)
		if err != nil {
			return
		}
		spec := Spec{Revision: "a", Max: 3, Slots: 2, Wait: time.Second, KeepAlive: AutoKeepAlive, GPUs: 1}
		obs := Observation{FreeGPUs: 2, Replicas: []Replica{{ID: "r1", Revision: "a", Phase: Ready}, {ID: "r2", Revision: "b", Phase: Silent}}}
		after, d := Decide(spec, s, obs, origin)
		if d.Target < 0 || d.Target > spec.Max || !d.Next.IsZero() && !d.Next.After(origin) {
			t.Fatalf("absurd decision %+v", d)
		}
		if _, err := json.Marshal(after); err != nil {
			t.Fatal(err)
		}
		_ = Explain(spec, s, obs, origin)
	})
}
