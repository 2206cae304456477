package workflows

import (
	"slices"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// State is what a function's workflow carries across continue-as-new: all of it.
type State struct {
	Key       functions.Key       `json:"key"`
	Decision  scale.Decision      `json:"decision,omitzero"`
	Deploy    Deploy              `json:"deploy,omitzero"`
	Replicas  []ReplicaState      `json:"replicas,omitempty"` // sorted by ID
	QueueOpen bool                `json:"queueOpen,omitempty"`
	Blocked   string              `json:"blocked,omitempty"`
	Pending   int                 `json:"pending,omitempty"`
	Failed    []activities.Failed `json:"failed,omitempty"`  // starts refused in the last step
	Trouble   string              `json:"trouble,omitempty"` // what ended the last step early

	Superseded bool `json:"superseded,omitempty"` // Blocked, since another revision is deployed than the decision names
	Closing    bool `json:"closing,omitempty"`    // the function is deleted
	Runs       int  `json:"runs,omitempty"`       // how often it continued as new
}

// status is what a sync and the query answer.
func (s *State) status() Status {
	return Status{
		Epoch: s.Decision.Epoch, Phase: string(s.Decision.Phase), Replicas: slices.Clone(s.Replicas),
		Blocked: s.Blocked, Pending: s.Pending, Failed: slices.Clone(s.Failed), Open: s.QueueOpen,
		Runs: s.Runs, Trouble: s.Trouble, Superseded: s.Superseded,
	}
}

func (s *State) find(id string) *ReplicaState {
	i, ok := slices.BinarySearchFunc(s.Replicas, id, byID)
	if !ok {
		return nil
	}
	return &s.Replicas[i]
}

func (s *State) add(r ReplicaState) {
	i, ok := slices.BinarySearchFunc(s.Replicas, r.ID, byID)
	if !ok {
		s.Replicas = slices.Insert(s.Replicas, i, r)
	}
}

func (s *State) remove(id string) {
	s.Replicas = slices.DeleteFunc(s.Replicas, func(r ReplicaState) bool { return r.ID == id })
}

func byID(r ReplicaState, id string) int {
	switch {
	case r.ID < id:
		return -1
	case r.ID > id:
		return 1
	}
	return 0
}

// accept takes a sync into the state. It changes phases only forwards: what is draining does
// not become ready again because an older observation arrives.
func (s *State) accept(in Sync) {
	s.Key, s.Decision, s.Deploy, s.Closing = in.Key, in.Decision, in.Deploy, in.Close
	for _, r := range in.Adopt {
		s.add(r)
		s.QueueOpen = true
	}
	for _, o := range in.Observed {
		r := s.find(o.ID)
		if r == nil || PhaseRank(o.Phase) <= PhaseRank(r.Phase) {
			continue
		}
		r.Phase, r.Since = o.Phase, o.At
		if o.Cause != "" {
			r.Cause = o.Cause
		}
		if o.ColdMS > 0 {
			r.ColdMS = o.ColdMS
		}
	}
}

// active tells whether a replica counts towards the target of a revision.
func active(r ReplicaState, revision string) bool {
	return r.Revision == revision && PhaseRank(r.Phase) < PhaseRank(PhaseDraining)
}

// lacking is how many replicas of the wanted revision the decision asks for beyond those
// there are.
func (s *State) lacking() int {
	n := s.Decision.Target
	for _, r := range s.Replicas {
		if active(r, s.Decision.Revision) {
			n--
		}
	}
	return max(n, 0)
}

// doubtful are the replicas of the wanted revision whose start is in doubt and which nobody has
// seen since.
func (s *State) doubtful() []string {
	var ids []string
	for _, r := range s.Replicas {
		if r.Doubt && r.Phase == PhaseStarting && r.Revision == s.Deploy.Revision {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// toDrain are the victims the decision names that are not on their way out yet.
func (s *State) toDrain() []ReplicaState {
	var out []ReplicaState
	for _, id := range s.Decision.Victims {
		if r := s.find(id); r != nil && PhaseRank(r.Phase) < PhaseRank(PhaseDraining) {
			out = append(out, *r)
		}
	}
	return out
}

// in lists the replicas in a phase.
func (s *State) in(phase string) []ReplicaState {
	var out []ReplicaState
	for _, r := range s.Replicas {
		if r.Phase == phase {
			out = append(out, r)
		}
	}
	return out
}

// overdue are the replicas that should be gone by now, and next is when the next one will be.
func (s *State) overdue(now time.Time) (late []ReplicaState, next time.Time) {
	for _, r := range s.Replicas {
		if r.KillAt.IsZero() || r.Phase == PhaseExited {
			continue
		}
		if !now.Before(r.KillAt) {
			late = append(late, r)
			continue
		}
		if next.IsZero() || r.KillAt.Before(next) {
			next = r.KillAt
		}
	}
	return late, next
}

// gpus held by the replicas that are not gone.
func (s *State) gpus() int {
	n := 0
	for _, r := range s.Replicas {
		n += r.GPUs
	}
	return n
}

// idle tells whether nothing is left to carry: target zero, no replica, queue closed.
func (s *State) idle() bool {
	return s.Decision.Target == 0 && len(s.Replicas) == 0 && !s.QueueOpen
}
