package dispatch

import (
	"strconv"
	"strings"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/jobs"
	"stoker.dev/stoker/workflows"
)

// Stored is what key-value holds of a job beside its manifest.
type Stored struct {
	UID      string        `json:"uid"`
	Told     bool          `json:"told,omitempty"` // Life is its workflow's, not only what it begins with
	Life     job.State     `json:"life"`
	Said     job.State     `json:"said,omitzero"`      // of what was last announced: phase, cause, generation and checkpoint
	Attempts []api.Attempt `json:"attempts,omitempty"` // the newest [maxAttempts]
	Before   api.JobTime   `json:"before,omitzero"`    // of attempts that are no longer in Attempts
	Progress api.Progress  `json:"progress,omitzero"`
	Warned   bool          `json:"warned,omitempty"` // that its budget is nearly spent
	Scaling  jobs.Scaling  `json:"scaling,omitzero"` // as it was measured
	Ends     float64       `json:"ends,omitempty"`   // the step with which it will be done, as was last foreseen; 0: nobody knows
}

// entry is what the loop knows of one job. Only the loop touches it.
type entry struct {
	key    functions.Key
	rec    events.JobRecord
	recRev uint64
	Stored
	rev     uint64           // of what is stored
	placed  workflows.Placed // where its gang is
	resumed string
	trouble string

	ranks   map[int]*rank // of the current generation
	pending []job.Event   // the workflow does not have them yet
	telling bool
	retryAt time.Time // after an Update that failed
	tries   int
	seq     uint64 // of Life
	unknown bool   // what its workflow says is still to be asked, after a restart
	planned planned
	waiting *jobs.Waiting
	// placedAt is when its gang was first seen placed, by this clock: the workflow's own may jump.
	placedAt time.Time
	// unstarted: its workflow does not run yet. A plan looks at it first, so that it begins with its admission.
	unstarted bool
	// unbooked: its loan is not stored yet, and it is told nothing before.
	unbooked bool
	cleared  time.Time // when its checkpoints were last cleared

	window     window      // in which its speed is measured
	pulse      pulse       // whether it moves
	choice     jobs.Choice // by its goal
	toldChoice jobs.Choice // that was last announced
	toldAt     time.Time
	broke      uint64 // the generation that was told that its budget is spent
}

// rank is one rank as agent and provider tell of it.
type rank struct {
	beat   events.Heartbeat
	heard  time.Time
	said   events.Rank // its newest report
	status activities.ReplicaStatus
	xids   []job.Xid // of its GPUs, with what they did to other jobs
	told   toldOf
	mark   mark // how far it last was
}

// toldOf is what the workflow was told of a rank.
type toldOf struct {
	arrived, saving, done, ended, silent bool
	savedAt                              time.Time // by its agent
	commit                               time.Time // when it was told of a checkpoint, by this clock
}

// newEntry is a job of which nothing is known yet but its manifest.
func newEntry(k functions.Key, rec events.JobRecord, rev uint64) *entry {
	e := &entry{key: k, rec: rec, recRev: rev, ranks: map[int]*rank{}}
	e.UID = rec.UID
	e.Life, _ = job.New(rec.Submitted)
	return e
}

// update takes over a newer state of the job; an older one changes nothing.
func (d *Dispatcher) update(e *entry, life job.State, seq uint64) {
	e.unknown = false
	if e.Told && seq < e.seq {
		return
	}
	if life.Generation != e.Life.Generation || life.Phase != job.Queued && life.Phase != job.Validated {
		d.Claims.Begun(e.key) // or it has ended before
	}
	if !e.Told && life.Phase == job.Queued { // what a plan had for it was not taken
		e.planned = planned{}
	}
	before := e.Life
	if life.Generation != before.Generation {
		e.ranks = map[int]*rank{}
	}
	took, left := e.note(before, life, d.Now())
	if left {
		d.planner.Drains.Learn(e.user(), program(e.key.Name), took)
		d.saveLearned()
	}
	if life.Generation != before.Generation || life.Gang == nil {
		e.placedAt = time.Time{}
	} else if e.placedAt.IsZero() && !life.Gang.Placed.IsZero() {
		e.placedAt = d.Now()
	}
	e.Life, e.seq, e.Told, e.unstarted = life, seq, true, false
	if l, open := d.loans.Find(e.loan()); open && life.Gang != nil && !life.Gang.Placed.IsZero() {
		e.attempt(life.Generation).Lent = l.GPUs
	}
	d.settleJob(e, before)
	d.charge(e)
	if d.frozen && life.Gang != nil && life.Phase != job.Draining {
		e.goAway()
	}
	d.ended(e, before)
	d.clear(e, before)
	if life.Generation != before.Generation || life.Phase != before.Phase {
		d.planSoon()
	}
}

func (e *entry) live() bool { return !e.Life.Phase.Terminal() }

// gang is how the workflow names the gang of a generation.
func (e *entry) gang(generation uint64, nodes int) activities.GangRef {
	return activities.GangRef{Key: e.key, UID: e.rec.UID, Generation: generation, Nodes: nodes}
}

// rankOf reads the ID of a rank: which job, generation and rank it is of.
func rankOf(id string) (uid string, generation uint64, rank int, ok bool) {
	parts := strings.Split(id, "-")
	if len(parts) < 4 {
		return "", 0, 0, false
	}
	parts = parts[len(parts)-3:]
	generation, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		return "", 0, 0, false
	}
	rank, err = strconv.Atoi(parts[2])
	return parts[0], generation, rank, err == nil && rank >= 0
}

// seen is what is known of a rank of the current gang.
func (e *entry) seen(n int) *rank {
	r := e.ranks[n]
	if r == nil {
		r = &rank{}
		e.ranks[n] = r
	}
	return r
}

// goAway has the gang save its work and go, since the platform stops.
func (e *entry) goAway() {
	e.tellLater(job.Event{Kind: job.Leave, Generation: e.Life.Generation, Cause: job.CauseNodeDrain})
}

// tellLater notes an event for the workflow.
func (e *entry) tellLater(ev job.Event) { e.pending = append(e.pending, ev) }

// attempt is the receipt of the gang of a generation, made where there is none.
func (e *entry) attempt(generation uint64) *api.Attempt {
	if n := len(e.Attempts); n > 0 && e.Attempts[n-1].Generation == generation {
		return &e.Attempts[n-1]
	}
	if len(e.Attempts) >= maxAttempts {
		e.Before = sum(e.Before, timeOf(e.Attempts[0], e.perNode(), e.Attempts[0].Released))
		e.Attempts = append([]api.Attempt{}, e.Attempts[1:]...)
	}
	e.Attempts = append(e.Attempts, api.Attempt{Generation: generation})
	return &e.Attempts[len(e.Attempts)-1]
}

func (e *entry) perNode() int { return e.rec.Job.Spec.Resources.GPUsPerNode }
