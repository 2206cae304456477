package job

import (
	"slices"
	"time"

	"stoker.dev/stoker/functions"
)

// Budget is whose retries a failure spends.
type Budget string

// The budgets. What the platform did to a job costs the job nothing.
const (
	SpendsNothing Budget = ""
	SpendsUser    Budget = "user"
	SpendsInfra   Budget = "infra"
)

// Action is what follows from the end of a gang.
type Action string

// The actions. A retry happens only while its budget lasts.
const (
	ActionFinish    Action = "finish"          // the job has succeeded
	ActionStop      Action = "stop"            // as it was told to: cancelled, paused, out of time
	ActionRequeue   Action = "requeue"         // at the head of its queue, at once
	ActionRetry     Action = "retry"           // after a pause
	ActionElsewhere Action = "retry-elsewhere" // after a pause, on other nodes than the one at fault
	ActionFail      Action = "fail"            // no further attempt mends it
)

// Verdict is what a gang's end was, in one value.
type Verdict struct {
	Class    Class    `json:"class"`
	Action   Action   `json:"action"`
	Spends   Budget   `json:"spends,omitempty"`
	Rank     int      `json:"rank"`               // whose end decided; -1: nobody's
	Node     string   `json:"node,omitempty"`     // of that rank
	Step     int64    `json:"step"`               // the last that was reported
	Hint     string   `json:"hint,omitempty"`     // for people: what to do
	Evidence []string `json:"evidence,omitempty"` // for people: what it was seen by
}

// Trial is what the end of a gang is judged by.
type Trial struct {
	Ranks   []Evidence          // of every rank
	Codes   functions.ExitCodes // what exit codes mean
	Asked   Cause               // what it had been told to go for; none: it was not
	AskedAt time.Time           // when
	SavedAt time.Time           // of the newest committed checkpoint; zero: none
	Started time.Time           // when the gang passed its barrier; zero: never
	Step    int64               // the last that was reported; 0: none
	Done    bool                // it reported to be finished
	Missing []int               // ranks that never came to the barrier, as indexes of Ranks
	Before  Verdict             // of the attempt before, for what is retried once
}

// saved tells whether a checkpoint was committed since a moment.
func (t Trial) saved(since time.Time) bool {
	return !since.IsZero() && !t.SavedAt.IsZero() && !t.SavedAt.Before(since)
}

// Judge says what the end of a gang was. The first trouble in time on any rank decides, and what it
// was is the first of [Classes] that fits. Ranks that the platform ended, or that a peer's end took
// along, decide nothing.
func Judge(t Trial) Verdict {
	found := troubles(t.Ranks)
	if len(found) == 0 {
		return t.allClean()
	}
	cause := found[0]
	if i := slices.IndexFunc(t.Ranks, Evidence.clean); i >= 0 && t.Started.IsZero() && t.Asked == CauseFailed && cause.echo() {
		return t.neverWhole(t.Ranks[i])
	}
	i := slices.IndexFunc(classes, func(c class) bool { return c.fits != nil && c.fits(t, cause) })
	c := classes[i] // the last one always fits
	v := Verdict{Class: c.class, Action: c.action, Spends: c.spends, Rank: cause.Rank, Node: cause.Node, Step: t.Step, Hint: c.hint, Evidence: cause.quote()}
	if c.adjust != nil {
		c.adjust(t, &v)
	}
	return v
}

// allClean is the verdict on a gang of which every rank exited with 0. Many programs exit so when
// they are asked to go, whether they have finished or not. One that was asked counts as finished
// only if it said so: starting a finished job again costs a start, and taking an unfinished one
// for finished would lose the rest of it.
func (t Trial) allClean() Verdict {
	v := Verdict{Class: ClassDone, Action: ActionFinish, Rank: nobody, Step: t.Step, Evidence: []string{"every rank: exit code 0"}}
	switch {
	case t.Asked == CauseCancelled, t.Asked.stops() && !t.Done:
		v.Class, v.Action = ClassStopped, ActionStop
	case t.Asked.makesRoom() && !t.Done:
		v.Class, v.Action = ClassPreempted, ActionRequeue
		v.Hint = "it exited with 0 when asked to go and had not reported 100 %, so it goes on; exit with 75 after saving to say so yourself"
	case t.Asked == CauseUnplaced:
		v.Class, v.Action = ClassUnplaced, ActionRetry
	case t.Started.IsZero() && !t.Asked.makesRoom():
		return t.neverWhole(t.Ranks[0])
	}
	return v
}

// nobody is the rank whose end decided where none did.
const nobody = -1

// neverWhole is the verdict on a gang of which a rank ended well before the others were there.
func (t Trial) neverWhole(e Evidence) Verdict {
	return Verdict{
		Class: ClassConfig, Action: ActionFail, Spends: SpendsUser, Rank: e.Rank, Node: e.Node, Evidence: e.quote(),
		Hint: "a rank ended with 0 before the whole gang was there: it did not wait for its peers",
	}
}

// again tells whether the attempt before ended the same way at the same step.
func (t Trial) again(c Class) bool { return t.Before.Class == c && t.Before.Step == t.Step }
