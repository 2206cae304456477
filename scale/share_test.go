package scale

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
)

// drawClaims draws claims as they come about, with different names.
func drawClaims(t *rapid.T) []Claim {
	claims := make([]Claim, rapid.IntRange(0, 8).Draw(t, "claims"))
	for i := range claims {
		have := rapid.IntRange(0, 6).Draw(t, "have")
		claims[i] = Claim{
			Function: string(rune('a' + i)),
			Class:    rapid.SampledFrom(functions.Classes()).Draw(t, "class"),
			Weight:   rapid.IntRange(0, 5).Draw(t, "weight"),
			GPUs:     rapid.SampledFrom([]int{1, 1, 1, 2, 4}).Draw(t, "gpus"),
			Min:      rapid.IntRange(0, 2).Draw(t, "min"),
			Demand:   rapid.IntRange(0, 6).Draw(t, "demand"),
			Have:     have,
			Silent:   rapid.IntRange(0, have).Draw(t, "silent"),
			Short:    time.Duration(rapid.IntRange(0, 5).Draw(t, "short")) * time.Minute,
		}
	}
	return claims
}

// TestSharesAreFair: what is given away fits and is of use, everybody has one replica and the
// minimum as far as GPUs go, and nobody has more for its weight than somebody who could use it.
func TestSharesAreFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		claims, gpus := drawClaims(t), rapid.IntRange(0, 40).Draw(t, "gpus in all")
		given := Shares(gpus, claims)
		if given == nil {
			return
		}
		used, floor, silent := 0, 0, 0
		for i, c := range claims {
			used += given[i] * c.GPUs
			silent += c.Silent * c.GPUs
			floor += max(c.Silent, min(c.Demand, max(1, c.Min))) * c.GPUs
			if given[i] < 0 || given[i] > max(c.Demand, c.Have) {
				t.Fatalf("%+v may have %d", c, given[i])
			}
		}
		if used > gpus {
			t.Fatalf("%d GPUs given of %d: %v", used, gpus, given)
		}
		for i, c := range claims {
			if gpus >= silent && given[i] < c.Silent {
				t.Fatalf("%+v is out of reach and may have %d", c, given[i])
			}
			if gpus >= floor && given[i] < min(c.Demand, max(1, c.Min)) {
				t.Fatalf("%+v has less than its minimum: %d", c, given[i])
			}
			if given[i] < c.Demand {
				noEnvy(t, claims, given, i)
			}
		}
	})
}

// noEnvy is whether a claim that goes short would not have it better with one replica of
// another's that has more for its weight, beyond what nobody takes away.
func noEnvy(t *rapid.T, claims []Claim, given []int, i int) {
	c := claims[i]
	mine := float64((given[i]+1)*c.GPUs) / float64(classWeights[c.Class]*max(1, c.Weight))
	for j, o := range claims {
		spare := given[j] > max(o.Silent, min(o.Demand, max(1, o.Min)))
		theirs := float64(given[j]*o.GPUs) / float64(classWeights[o.Class]*max(1, o.Weight))
		if i != j && spare && o.GPUs >= c.GPUs && theirs > mine {
			t.Fatalf("%+v has %d, and %+v %d: %v", c, given[i], o, given[j], given)
		}
	}
}

// TestSharesKnowNoOrder: who is named first gets nothing for it.
func TestSharesKnowNoOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		claims, gpus := drawClaims(t), rapid.IntRange(0, 40).Draw(t, "gpus in all")
		want := Shares(gpus, claims)
		order := rapid.Permutation(seq(len(claims))).Draw(t, "order")
		shuffled := make([]Claim, len(claims))
		for i, k := range order {
			shuffled[i] = claims[k]
		}
		got := Shares(gpus, shuffled)
		if (got == nil) != (want == nil) {
			t.Fatalf("%v and %v", got, want)
		}
		for i, k := range order {
			if got != nil && got[i] != want[k] {
				t.Fatalf("%+v may have %d, and %d in another order", claims[k], want[k], got[i])
			}
		}
	})
}

func seq(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func TestShares(t *testing.T) {
	const i, s, b = functions.Interactive, functions.Standard, functions.Batch
	for name, c := range map[string]struct {
		gpus   int
		claims []Claim
		want   []int
	}{
		"nobody goes short":      {8, []Claim{{Function: "a", Class: i, GPUs: 1, Demand: 4}, {Function: "b", Class: s, GPUs: 1, Demand: 4}}, nil},
		"nobody wants more":      {2, []Claim{{Function: "a", Class: i, GPUs: 1, Demand: 1, Have: 4}}, nil},
		"by the classes":         {7, []Claim{{Function: "a", Class: i, GPUs: 1, Demand: 9}, {Function: "b", Class: s, GPUs: 1, Demand: 9}, {Function: "c", Class: b, GPUs: 1, Demand: 9}}, []int{4, 2, 1}},
		"by the manifests":       {8, []Claim{{Function: "a", Class: s, Weight: 3, GPUs: 1, Demand: 9}, {Function: "b", Class: s, GPUs: 1, Demand: 9}}, []int{6, 2}},
		"by both":                {9, []Claim{{Function: "a", Class: b, Weight: 8, GPUs: 1, Demand: 9}, {Function: "b", Class: i, Weight: 1, GPUs: 1, Demand: 9}}, []int{6, 3}},
		"what is not needed":     {8, []Claim{{Function: "a", Class: i, GPUs: 1, Demand: 2}, {Function: "b", Class: b, GPUs: 1, Demand: 9}}, []int{2, 6}},
		"each has one":           {3, []Claim{{Function: "a", Class: i, GPUs: 1, Demand: 9}, {Function: "b", Class: b, GPUs: 1, Demand: 1, Have: 1}, {Function: "c", Class: b, GPUs: 1, Demand: 2}}, []int{1, 1, 1}},
		"the minimum":            {4, []Claim{{Function: "a", Class: i, GPUs: 1, Demand: 9}, {Function: "b", Class: b, GPUs: 1, Min: 3, Demand: 3}}, []int{1, 3}},
		"held warm goes":         {4, []Claim{{Function: "a", Class: i, GPUs: 1, Have: 4}, {Function: "b", Class: b, GPUs: 1, Demand: 3}}, []int{1, 3}},
		"the urgent class first": {1, []Claim{{Function: "a", Class: b, GPUs: 1, Demand: 1, Have: 1}, {Function: "b", Class: i, GPUs: 1, Demand: 1}}, []int{0, 1}},
		"who has it keeps it":    {1, []Claim{{Function: "a", Class: s, GPUs: 1, Demand: 1}, {Function: "b", Class: s, GPUs: 1, Demand: 1, Have: 1}}, []int{0, 1}},
		"until its turn is over": {1, []Claim{{Function: "a", Class: s, GPUs: 1, Demand: 1, Short: ShareTurn}, {Function: "b", Class: s, GPUs: 1, Demand: 1, Have: 1}}, []int{1, 0}},
		"out of reach":           {2, []Claim{{Function: "a", Class: b, GPUs: 1, Have: 2, Silent: 2}, {Function: "b", Class: i, GPUs: 1, Demand: 1}}, []int{2, 0}},
		"too large for the rest": {5, []Claim{{Function: "a", Class: i, GPUs: 4, Demand: 2}, {Function: "b", Class: i, GPUs: 1, Demand: 4}}, []int{1, 1}},
		"absurd":                 {-1, []Claim{{Function: "a", Class: "x", GPUs: -1, Demand: 1 << 40, Min: -1, Have: -5, Silent: 9}}, []int{0}},
	} {
		if got := Shares(c.gpus, c.claims); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestTurns: of functions that all go short, each gets its turn.
func TestTurns(t *testing.T) {
	claims := []Claim{{Function: "a"}, {Function: "b"}, {Function: "c"}}
	served := map[string]time.Duration{}
	for i := range claims {
		claims[i].GPUs, claims[i].Demand, claims[i].Class = 1, 1, functions.Standard
	}
	for range 60 * 60 { // an hour of seconds
		for i, n := range Shares(1, claims) {
			c := &claims[i]
			c.Have, c.Short = n, c.Short+time.Second
			if n > 0 {
				c.Short = 0
				served[c.Function] += time.Second
			}
		}
	}
	for _, c := range claims {
		if served[c.Function] < 15*time.Minute {
			t.Errorf("%s was served %v of an hour, of three", c.Function, served[c.Function])
		}
	}
}

// TestClaimOf: what people ordered counts, not what was held back.
func TestClaimOf(t *testing.T) {
	spec := Spec{Revision: "a", Min: 1, Max: 5, Slots: 1, Wait: time.Second, WaitAt: 0.99, KeepAlive: AutoKeepAlive, GPUs: 2, Weight: 3}
	one := 1
	obs := Observation{Pending: map[functions.Class]int{functions.Batch: 9, functions.Interactive: 1}, FreeGPUs: 0, Share: &one}
	state, d := Decide(spec, State{}, obs, origin)
	if d.Limit != ReasonNoGPU && d.Limit != ReasonShare || d.Target != 0 {
		t.Fatalf("%+v", d)
	}
	got := ClaimOf("f", spec, state, origin.Add(time.Minute))
	want := Claim{Function: "f", Class: functions.Interactive, Weight: 3, GPUs: 2, Min: 1, Demand: 5, Short: time.Minute}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	pinned := spec
	pinned.Pinned = &one
	if got := ClaimOf("f", pinned, state, origin).Demand; got != 1 {
		t.Errorf("demand %d, and people want one", got)
	}
	failing := state
	failing.Last.Limit = ReasonBackoff
	if got := ClaimOf("f", spec, failing, origin).Demand; got != 0 {
		t.Errorf("demand %d of what cannot be started now", got)
	}
	poor := state
	poor.Last.Inputs.Budget = &one
	if got := ClaimOf("f", spec, poor, origin).Demand; got != 1 {
		t.Errorf("demand %d, and the budget allows one", got)
	}
	paused := spec
	paused.Paused = true
	if got := ClaimOf("f", paused, state, origin).Demand; got != 0 {
		t.Errorf("demand %d while paused", got)
	}
	if !slices.Contains(Reasons(), ReasonShare) {
		t.Error("fair-share is no reason")
	}
}
