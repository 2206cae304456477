package local

import (
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// record is what the provider knows of one replica, kept in run.json so that the next platform
// on the directory goes on where this one ended.
type record struct {
	ID       string        `json:"id"`
	Key      functions.Key `json:"key"`
	Revision string        `json:"revision"`
	Epoch    uint64        `json:"epoch"` // the highest seen
	Node     string        `json:"node"`
	Devices  []string      `json:"devices,omitempty"`
	Rank     bool          `json:"rank,omitempty"` // of a training job

	Begun  time.Time `json:"begun,omitzero"`  // about to be spawned; zero: never was
	PID    int       `json:"pid,omitempty"`   // of the agent; 0: not spawned, or not noted in time
	Ticks  uint64    `json:"ticks,omitempty"` // the agent's start, in clock ticks since boot
	Boot   string    `json:"boot,omitempty"`  // the boot these belong to
	Cgroup string    `json:"cgroup,omitempty"`

	Stopped bool      `json:"stopped,omitempty"` // no start from now on
	Asked   bool      `json:"asked,omitempty"`   // its agent was given time to go
	KillAt  time.Time `json:"killAt,omitzero"`   // when what is left is killed
	Killed  bool      `json:"killed,omitempty"`  // by us

	Gone      bool              `json:"gone,omitempty"`
	Ended     time.Time         `json:"ended,omitzero"`
	ExitCode  int               `json:"exitCode,omitempty"`
	Cause     string            `json:"cause,omitempty"`
	Message   string            `json:"message,omitempty"`
	OOMKills  int               `json:"oomKills,omitempty"`
	Last      *events.Heartbeat `json:"last,omitempty"`
	Forgotten time.Time         `json:"forgotten,omitzero"`

	dying bool // its agent is dead and something of its tree lingers; found anew by the next platform
}

// begun tells whether an agent was started, or was about to be.
func (r *record) begun() bool { return !r.Begun.IsZero() }

// state is where the replica is.
func (r *record) state() activities.RunState {
	switch {
	case r.Gone:
		return activities.RunGone
	case r.Stopped || r.dying:
		return activities.RunStopping
	case r.PID == 0:
		return activities.RunStarting
	default:
		return activities.RunRunning
	}
}

// status is what the provider tells others.
func (r *record) status() activities.ReplicaStatus {
	return activities.ReplicaStatus{
		ID: r.ID, Key: r.Key, Revision: r.Revision, Epoch: r.Epoch, Node: r.Node, State: r.state(),
		PID: r.PID, Started: r.Begun, Ended: r.Ended, ExitCode: r.ExitCode,
		Cause: r.Cause, Message: r.Message, OOMKills: r.OOMKills, Last: r.Last,
	}
}

// agent is the identity of the agent's process.
func (r *record) agent() process { return process{pid: r.PID, ticks: r.Ticks} }
