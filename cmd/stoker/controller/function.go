package controller

import (
	"slices"
	"strings"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/spending"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/workflows"
)

// function is what the loop knows of one function. Only the loop touches it.
type function struct {
	key     functions.Key
	rec     events.FunctionRecord
	recRev  uint64
	spec    scale.Spec
	stored  Stored
	storRev uint64
	unsaved bool // stored differs from key-value

	replicas map[string]*replica
	counts   map[functions.Class]int // stored requests, those in flight included
	short    int                     // GPUs it goes short of
	demand   time.Time               // when the event that woke it was seen

	exits      []scale.Exit // not yet decided upon
	colds      []time.Duration
	ended      uint64
	refused    int // answered fail-fast
	serviceSec float64
	late       int // waited longer than the SLO allows

	unwake  *events.Subscription // stops the subscription to wakes; nil while awake
	wf      *workflows.Status
	syncing bool
	carried scale.Decision // the newest one the workflow has carried out
	newsAt  time.Time      // when news that is no work goes to the workflow; zero: none
	retryAt time.Time      // after a failed Update
	fails   int            // failed Updates in a row
	nextAt  time.Time      // the decision's own next moment
	reaping bool
	walkAt  time.Time // before it, no deadline can have passed unseen for long
	idleAt  time.Time // since when requests wait and nothing is in flight; zero: not so
	// searched: what was stored when this process began was searched for requests that have ended.
	searched  bool
	deleted   bool // the workflow has nothing left; being removed
	allowance spending.Allowance
	strain    int   // how much of the budget people have been told of, in steps of [strains]
	base      shown // what the totals were when this process first looked
}

// replica is one replica as agent, provider and workflow tell of it.
type replica struct {
	id, revision, node string
	phase              string // workflows.Phase…
	since              time.Time
	beat               events.Heartbeat
	beatAt             time.Time // by this clock
	lastWordAt         time.Time // when its agent first said that it is over, or what is left was last told to go
	run                activities.RunState
	runAt              time.Time // when the provider was last heard of it
	started            time.Time
	waits              string // what keeps it from running
	cause, message     string
	exitCode           int
	cold               bool // its cold start was told to scale
}

func newFunction(k functions.Key) *function {
	return &function{key: k, replicas: map[string]*replica{}, counts: map[functions.Class]int{}}
}

// setRecord takes over a manifest.
func (f *function) setRecord(rec events.FunctionRecord, rev uint64) {
	if f.rec.Paused && !rec.Paused {
		f.demand = time.Time{} // what waited while it was paused is no cold start
	}
	f.rec, f.recRev = rec, rev
	f.spec = scale.SpecOf(rec.Function, rec.Revision)
	f.spec.Paused, f.spec.Deleting, f.spec.Pinned = rec.Paused, rec.Deleting, rec.Pinned
}

// next is when the function must be looked at without new input; zero: never.
func (f *function) next() time.Time {
	if f.syncing || f.deleted {
		return time.Time{}
	}
	next := f.nextAt
	for _, t := range []time.Time{f.retryAt, f.newsAt} {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next
}

// sorted lists the replicas by ID, so that nothing depends on the order of a map.
func (f *function) sorted() []*replica {
	out := make([]*replica, 0, len(f.replicas))
	for _, r := range f.replicas {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *replica) int { return strings.Compare(a.id, b.id) })
	return out
}

// inFlight is how many requests the agents say they work on.
func (f *function) inFlight() int {
	n := 0
	for _, r := range f.replicas {
		if r.phase != workflows.PhaseExited {
			n += r.beat.InFlight
		}
	}
	return n
}

// waiting splits the stored requests into those that wait: agents take the most urgent first,
// so what is in flight is taken off the urgent classes first.
func (f *function) waiting() map[functions.Class]int {
	out := map[functions.Class]int{}
	taken := f.inFlight()
	for _, c := range functions.Classes() {
		n := f.counts[c]
		off := min(n, taken)
		taken -= off
		out[c] = n - off
	}
	return out
}

func (f *function) observation(s *scale.Stock, now time.Time) scale.Observation {
	obs := scale.Observation{
		Pending: f.waiting(), InFlight: f.inFlight(), Exits: f.exits, Ended: f.ended,
		ServiceSec: f.serviceSec, ColdStarts: f.colds, Late: f.late,
		Refused: f.refused, FreeGPUs: f.free(s), Holders: s.Holders(),
	}
	for _, r := range f.sorted() {
		if r.phase == workflows.PhaseExited {
			continue
		}
		obs.Replicas = append(obs.Replicas, scale.Replica{
			ID: r.id, Revision: r.revision, Phase: r.scalePhase(now), Since: r.since, InFlight: r.beat.InFlight,
			Served: r.beat.Totals.Served,
		})
	}
	return obs
}

// free is how many GPUs this function could have now: those of the replicas that would find
// room. One that needs no GPU finds room everywhere.
func (f *function) free(s *scale.Stock) int {
	if f.spec.GPUs == 0 {
		return scale.UnknownGPUs
	}
	return s.Fit(activities.AskFor(f.key, f.rec.Function.Spec, "")) * f.spec.GPUs
}

// takeIn marks what was observed as decided upon.
func (f *function) takeIn() {
	f.exits, f.colds, f.ended, f.serviceSec, f.refused, f.late = nil, nil, 0, 0, 0, 0
}

// coldStart is the last one, with what its replica went through since.
func (f *function) coldStart() *api.ColdStart {
	if f.stored.Cold == nil {
		return nil
	}
	if r := f.replicas[f.stored.Cold.Replica]; r != nil && !r.beat.Receipt.Ready.IsZero() {
		c := api.ColdStartOf(r.id, r.beat.Receipt)
		return &c
	}
	return f.stored.Cold
}

// scalePhase is the replica's phase in scale's words. What was ready and says nothing is silent,
// not gone: only its provider can say that it is gone.
func (r *replica) scalePhase(now time.Time) scale.ReplicaPhase {
	switch r.phase {
	case workflows.PhaseReady:
		if now.Sub(r.beatAt) > silentAfter {
			return scale.Silent
		}
		return scale.Ready
	case workflows.PhaseDraining, workflows.PhaseStopping:
		return scale.Draining
	case workflows.PhaseExited:
		return scale.Gone
	}
	return scale.Starting
}

// advance moves a replica forwards, never back, and tells whether it moved.
func (r *replica) advance(phase string, at time.Time) bool {
	if workflows.PhaseRank(phase) <= workflows.PhaseRank(r.phase) {
		return false
	}
	r.phase, r.since = phase, at
	return true
}

// split is the GPU time of everything the function ever ran.
func (f *function) split() api.Split {
	out := f.stored.Split
	gpus := float64(f.rec.Function.Spec.Resources.GPUs)
	for _, r := range f.replicas {
		out = out.Add(spent(r.beat.Totals).Scale(gpus))
	}
	return out
}

// spent is what an agent says its replica's time went to, in seconds of one GPU.
func spent(t events.Totals) api.Split {
	return api.Split{Useful: t.UsefulSec, Cold: t.ColdSec, Idle: t.IdleSec, Draining: t.DrainingSec}
}
