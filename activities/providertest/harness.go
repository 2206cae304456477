package providertest

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// Behaviour is what the model server of a test's replica does.
type Behaviour string

// The behaviours a harness provides.
const (
	Serves     Behaviour = "serves"     // writes OutputLines lines, "line 1" on, and runs until asked to go
	Crashes    Behaviour = "crashes"    // writes the same lines and exits with CrashCode by itself, a moment later
	Deaf       Behaviour = "deaf"       // runs, and does not go when asked
	Daemonizes Behaviour = "daemonizes" // runs, having started processes that left its session
)

// What the behaviours write and exit with.
const (
	OutputLines = 100
	CrashCode   = 7
)

// Script is a behaviour for /bin/sh, for providers that run real processes.
func Script(b Behaviour) string {
	script := fmt.Sprintf("for i in $(seq %d); do echo line $i; done; ", OutputLines)
	switch b {
	case Crashes:
		return script + fmt.Sprintf("sleep 0.5; exit %d", CrashCode)
	case Deaf:
		return script + "trap '' TERM; sleep 1000"
	case Daemonizes: // one leaves the session, one its parent too
		script = "setsid sleep 1000 & (setsid sh -c 'sleep 1000 & wait' &) ; " + script
	case Serves:
	}
	return script + "exec sleep 1000"
}

// Harness is one provider under test, alone in its world.
type Harness struct {
	Provider activities.Provider
	// Runtime makes a replica behave.
	Runtime func(Behaviour) functions.Runtime
	// Rank makes the program of a rank behave; nil: what Runtime makes does that, too.
	Rank func(Behaviour) functions.JobRuntime
	// Checkpoints is the checkpoint directory of ranks; nothing of them is written there.
	Checkpoints string
	// Agent is what every agent is told of the broker.
	Agent events.AgentConfig
	// Restart puts a new provider in the place of one whose process was killed, over the same world.
	Restart func(t *testing.T) activities.Provider
	// Processes lists the living processes of a replica; nil: there are none to see.
	Processes func(t *testing.T, id string) []int
	// SetLost puts the only node out of reach, or back; nil: the provider runs on its own node.
	SetLost func(lost bool)
	// Hold gives a device to somebody who is not ours, and returns once the provider knows.
	Hold func(device, who string)
	// Counted: devices have no identity, so Hold takes any one.
	Counted bool
	// LogsGo: a replica's logs go when it is forgotten.
	LogsGo bool
	// Settled is called at the end, when every replica is gone and forgotten: it fails the test
	// if something is left behind that should not be. May be nil.
	Settled func(t *testing.T)
}

// replica makes the spec of a replica that behaves. Its ID is unique on this machine, since
// processes may be found by it.
func (h Harness) replica(b Behaviour) activities.ReplicaSpec {
	return activities.ReplicaSpec{
		ID:       "conformance-" + uuid.NewString(),
		Key:      functions.Key{Namespace: "default", Name: "conformance"},
		Revision: "0123456789",
		Spec:     h.spec(b),
		Lease:    scale.Lease{Epoch: 10},
		Agent:    h.Agent,
	}
}

// spec is the manifest of a replica that behaves, with the defaults of a real one.
func (h Harness) spec(b Behaviour) functions.Spec {
	return functions.Default(functions.Function{Spec: functions.Spec{Runtime: h.Runtime(b)}}).Spec
}
