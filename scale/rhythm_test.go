package scale

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestRhythmExpectsMostGaps: the window holds three quarters of the gaps, and no narrower one does with less around it.
func TestRhythmExpectsMostGaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gaps := rapid.SliceOfN(rapid.Int64Range(0, int64(48*time.Hour)), 0, 3*rhythmGaps).Draw(t, "gaps")
		var r Rhythm
		for _, g := range gaps {
			r = r.learn(time.Duration(g))
		}
		if len(r.Gaps) != min(len(gaps), rhythmGaps) || r.sure() < 0 || r.sure() >= 1 {
			t.Fatalf("%+v", r)
		}
		from, to, ok := r.expected()
		if ok != (len(gaps) >= rhythmLeast) {
			t.Fatalf("expects %t after %d gaps", ok, len(gaps))
		}
		if !ok {
			return
		}
		in := 0
		for _, g := range r.Gaps {
			if g >= from && g <= to {
				in++
			}
		}
		if float64(in) < rhythmShare*float64(len(r.Gaps)) || from > to || from < 0 {
			t.Fatalf("%v to %v holds %d of %v", from, to, in, r.Gaps)
		}
		data, err := json.Marshal(r)
		var again Rhythm
		if err != nil || json.Unmarshal(data, &again) != nil || !reflect.DeepEqual(r, again) {
			t.Fatalf("%s, %v", data, err)
		}
	})
}

// TestRhythmIsSureOnceItWasRight: what comes by a clock becomes sure, and what stops coming so is relied on
// less every time.
func TestRhythmIsSureOnceItWasRight(t *testing.T) {
	var r Rhythm
	for i := range 20 {
		r = r.learn(30*time.Minute + time.Duration(i%3)*time.Second)
	}
	if r.sure() < 0.9 {
		t.Errorf("%.2f sure of what came 20 times by a clock", r.sure())
	}
	for i := range 5 {
		r = r.learn(time.Duration(i+1) * time.Minute)
	}
	if r.sure() > 0.6 {
		t.Errorf("%.2f sure after 5 gaps by no clock", r.sure())
	}
}

// TestRhythmBoundsWhatAStoreHeld.
func TestRhythmBoundsWhatAStoreHeld(t *testing.T) {
	r := Rhythm{Gaps: []time.Duration{-1, time.Second}, Hits: Estimate{Samples: 1 << 63, Mean: 7}}
	for range 2 * rhythmGaps {
		r.Gaps = append(r.Gaps, time.Minute)
	}
	if r = r.settled(); len(r.Gaps) != rhythmGaps || r.Gaps[0] != time.Minute || r.sure() > 1 {
		t.Errorf("%+v", r)
	}
}
