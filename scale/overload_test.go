package scale_test

import (
	"maps"
	"testing"

	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

func limits(i, s, b int, shed ...functions.Class) functions.Spec {
	return functions.Spec{
		Queue:    functions.Queue{Depth: functions.Depth{Interactive: i, Standard: s, Batch: b}},
		Overload: functions.Overload{Shed: shed},
	}
}

func TestExcessShedsTheLeastUrgentFirst(t *testing.T) {
	const i, s, b = functions.Interactive, functions.Standard, functions.Batch
	for _, c := range []struct {
		name    string
		waiting map[functions.Class]int
		spec    functions.Spec
		want    map[functions.Class]int
	}{
		{"within bounds", map[functions.Class]int{i: 2, s: 2, b: 2}, limits(2, 2, 2, b, s), map[functions.Class]int{i: 0, s: 0, b: 0}},
		{"batch gives way to interactive", map[functions.Class]int{i: 5, b: 2}, limits(2, 2, 2, b), map[functions.Class]int{i: 1, s: 0, b: 2}},
		{"room where nobody waits is taken too", map[functions.Class]int{i: 5, b: 2}, limits(2, 2, 2, b, s), map[functions.Class]int{i: 0, s: 0, b: 2}},
		{"what was kept once stays", map[functions.Class]int{i: 5, b: 1}, limits(3, 3, 3, b, s), map[functions.Class]int{i: 0, s: 0, b: 0}},
		{"batch first, then standard", map[functions.Class]int{i: 6, s: 2, b: 2}, limits(2, 2, 2, b, s), map[functions.Class]int{i: 0, s: 2, b: 2}},
		{"what may not be shed stays", map[functions.Class]int{i: 6, s: 2, b: 2}, limits(2, 2, 2, s), map[functions.Class]int{i: 2, s: 2, b: 0}},
		{"never a more urgent class", map[functions.Class]int{i: 2, b: 5}, limits(2, 2, 2, s, i), map[functions.Class]int{i: 0, s: 0, b: 3}},
	} {
		if got := scale.Excess(c.waiting, c.spec); !maps.Equal(got, c.want) {
			t.Errorf("%s: excess %v, want %v", c.name, got, c.want)
		}
	}
}

// However much waits, what is left is within the sum of the depths, nothing more is shed than
// is over, and shedding again sheds nothing.
func TestExcessProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 50)
		waiting := map[functions.Class]int{}
		for _, c := range functions.Classes() {
			waiting[c] = n.Draw(t, string(c))
		}
		shed := rapid.SampledFrom([][]functions.Class{nil, {functions.Batch}, {functions.Batch, functions.Standard}, {functions.Standard}}).Draw(t, "shed")
		spec := limits(n.Draw(t, "depth i"), n.Draw(t, "depth s"), n.Draw(t, "depth b"), shed...)
		over, out, room, left := 0, 0, 0, 0
		kept := map[functions.Class]int{}
		for c, x := range scale.Excess(waiting, spec) {
			if x < 0 || x > waiting[c] {
				t.Fatalf("%d of %d %s shed", x, waiting[c], c)
			}
			kept[c] = waiting[c] - x
			over, out = over+max(waiting[c]-spec.Queue.Depth.Of(c), 0), out+x
			room, left = room+spec.Queue.Depth.Of(c), left+kept[c]
		}
		if out > over || left > room {
			t.Fatalf("shed %d with %d over; %d left with room for %d", out, over, left, room)
		}
		for c, x := range scale.Excess(kept, spec) {
			if x != 0 {
				t.Fatalf("%d of %s shed that were kept before", x, c)
			}
		}
	})
}

// A request fits exactly when the next count would not shed it.
func TestFitsAgreesWithExcess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 8)
		spec := limits(n.Draw(t, "i"), n.Draw(t, "s"), n.Draw(t, "b"), functions.Batch, functions.Standard)
		c := rapid.SampledFrom(functions.Classes()).Draw(t, "class")
		waiting := map[functions.Class]int{}
		for range rapid.IntRange(0, 30).Draw(t, "arrivals") {
			other := rapid.SampledFrom(functions.Classes()).Draw(t, "arrival")
			if scale.Fits(waiting, other, spec) {
				waiting[other]++
			}
			for k, over := range scale.Excess(waiting, spec) {
				waiting[k] -= over
			}
		}
		fits := scale.Fits(waiting, c, spec)
		waiting[c]++
		if shed := scale.Excess(waiting, spec)[c] > 0; fits == shed {
			t.Fatalf("fits %v, shed %v, with %v", fits, shed, waiting)
		}
	})
}

// TestUrgentClassesTakeTheRoomOfLessUrgentOnes as far as overload.shed allows, and no further.
func TestUrgentClassesTakeTheRoomOfLessUrgentOnes(t *testing.T) {
	const i, s, b = functions.Interactive, functions.Standard, functions.Batch
	type counts = map[functions.Class]int
	for _, c := range []struct {
		name    string
		waiting counts
		class   functions.Class
		shed    []functions.Class
		want    bool
	}{
		{"room", counts{i: 9}, i, nil, true},
		{"full, nothing gives way", counts{i: 10, b: 5}, i, nil, false},
		{"full, batch gives way", counts{i: 10, b: 10}, i, []functions.Class{b}, true},
		{"batch's room is taken to its end", counts{i: 20}, i, []functions.Class{b}, false},
		{"another class has taken it", counts{i: 20, s: 10}, s, []functions.Class{b}, false},
		{"what gave way has no room itself", counts{i: 20}, b, []functions.Class{b}, false},
		{"batch takes nobody's room", counts{b: 10, i: 1, s: 1}, b, []functions.Class{b, s}, false},
		{"standard never takes interactive's", counts{s: 10, i: 5}, s, []functions.Class{b, i}, true},
		{"standard may not take interactive's alone", counts{s: 10, i: 5}, s, []functions.Class{i}, false},
	} {
		if got := scale.Fits(c.waiting, c.class, limits(10, 10, 10, c.shed...)); got != c.want {
			t.Errorf("%s: fits %t, want %t", c.name, got, c.want)
		}
	}
}
