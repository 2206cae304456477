package scale

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
)

// world is a small model of what decisions are carried out in. Its replicas start late or
// never, crash, fall silent and come back, at a property test's will.
type world struct {
	spec     Spec
	state    State
	now      time.Time
	gpus     int
	replicas []Replica
	exits    []Exit
	pending  int
	refused  int
	ended    uint64
	made     int
}

func newWorld(t *rapid.T) *world {
	w := &world{spec: drawSpec(t), now: origin, gpus: rapid.IntRange(0, 6).Draw(t, "gpus")}
	for range rapid.IntRange(0, 2).Draw(t, "adopted") { // ran before the state was lost
		w.start("old")
		w.replicas[len(w.replicas)-1].Phase = Ready
	}
	return w
}

func drawSpec(t *rapid.T) Spec {
	most := rapid.IntRange(1, 5).Draw(t, "max")
	return Spec{
		Revision:  "a",
		Min:       rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "min"),
		Max:       most,
		Slots:     rapid.IntRange(1, 4).Draw(t, "slots"),
		Wait:      rapid.SampledFrom([]time.Duration{time.Second, 10 * time.Second}).Draw(t, "wait"),
		KeepAlive: rapid.SampledFrom([]time.Duration{AutoKeepAlive, 0, 3 * time.Second, time.Minute}).Draw(t, "keepAlive"),
		GPUs:      rapid.SampledFrom([]int{0, 1, 1, 1, 2}).Draw(t, "gpusEach"),
	}
}

// observe is what a controller would hand over now; counts since the last call are taken.
func (w *world) observe(t *rapid.T) Observation {
	obs := Observation{
		Pending:  map[functions.Class]int{functions.Batch: w.pending},
		Refused:  w.refused,
		Replicas: slices.Clone(w.replicas),
		Exits:    w.exits,
		FreeGPUs: w.free(),
		Ended:    w.ended,
	}
	if rapid.IntRange(0, 9).Draw(t, "capacity") == 0 {
		obs.FreeGPUs = UnknownGPUs
	}
	for _, r := range w.replicas {
		obs.InFlight += r.InFlight
	}
	obs.ServiceSec = float64(w.ended)
	w.exits, w.ended, w.refused = nil, 0, 0
	return obs
}

func (w *world) free() int {
	free := w.gpus
	for _, r := range w.replicas {
		if r.Phase != Gone {
			free -= w.spec.GPUs
		}
	}
	return max(0, free)
}

// obey carries out a decision as a workflow would: victims drain, missing ones start while
// GPUs last.
func (w *world) obey(d Decision) {
	current := 0
	for i := range w.replicas {
		r := &w.replicas[i]
		if slices.Contains(d.Victims, r.ID) {
			r.Phase = Draining
		}
		if r.Revision == d.Revision && r.Phase != Draining && r.Phase != Gone {
			current++
		}
	}
	for ; current < d.Target && (w.spec.GPUs == 0 || w.free() >= w.spec.GPUs); current++ {
		w.start(d.Revision)
	}
}

func (w *world) start(revision string) {
	w.made++
	w.replicas = append(w.replicas, Replica{ID: fmt.Sprintf("r%03d", w.made), Revision: revision, Phase: Starting, Since: w.now})
	slices.SortFunc(w.replicas, func(a, b Replica) int { return cmp.Compare(a.ID, b.ID) })
}

// happen lets something happen to the world.
func (w *world) happen(t *rapid.T) {
	w.now = w.now.Add(rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Second, 6 * time.Second, 31 * time.Second, 7 * time.Minute}).Draw(t, "passes"))
	switch rapid.IntRange(0, 9).Draw(t, "event") {
	case 0, 1:
		w.pending = rapid.SampledFrom([]int{0, 0, 1, 5, 50, 5000}).Draw(t, "pending")
	case 2:
		w.order(t)
	case 3:
		w.gpus = rapid.IntRange(0, 6).Draw(t, "gpus")
	case 4:
		w.refused++
	default:
		if len(w.replicas) > 0 {
			w.befall(t, rapid.IntRange(0, len(w.replicas)-1).Draw(t, "replica"))
		}
	}
}

// order changes the spec.
func (w *world) order(t *rapid.T) {
	s := &w.spec
	switch rapid.IntRange(0, 6).Draw(t, "order") {
	case 0:
		s.Revision = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "revision")
	case 1:
		s.Max = rapid.IntRange(1, 5).Draw(t, "max")
	case 2:
		s.Paused = !s.Paused
	case 3:
		n := rapid.IntRange(-1, 6).Draw(t, "pinned")
		s.Pinned = &n
	case 4:
		s.Pinned = nil
	case 5:
		s.Deleting = rapid.IntRange(0, 3).Draw(t, "deleting") == 0
	case 6:
		s.Min = rapid.IntRange(0, 2).Draw(t, "min")
	}
}

// befall changes one replica.
func (w *world) befall(t *rapid.T, i int) {
	r := &w.replicas[i]
	become := func(p ReplicaPhase) { r.Phase, r.Since = p, w.now }
	switch rapid.IntRange(0, 6).Draw(t, "fate") {
	case 0, 1:
		if r.Phase == Starting || r.Phase == Silent {
			become(Ready)
		}
	case 2:
		if r.Phase == Ready && w.pending > 0 {
			take := min(w.pending, w.spec.Slots)
			w.pending, r.InFlight = w.pending-take, take
		}
	case 3:
		w.ended, r.Served, r.InFlight = w.ended+uint64(r.InFlight), r.Served+uint64(r.InFlight), 0
	case 4:
		if r.Phase != Draining {
			become(Silent)
		}
	default:
		w.pending += r.InFlight
		if r.Phase != Draining {
			w.exits = append(w.exits, Exit{ID: r.ID, Revision: r.Revision, At: w.now, Cause: "crashed",
				Ready: r.Phase == Ready, ReadyFor: w.now.Sub(r.Since), Served: r.Served})
		}
		w.replicas = slices.Delete(w.replicas, i, i+1)
	}
}
