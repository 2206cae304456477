package e2e

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// TestPromise5UnreachableIsNotFailed silences a healthy replica's agent, and kills and restarts the platform, and
// wants the very same processes to serve afterwards.
func TestPromise5UnreachableIsNotFailed(t *testing.T) { t.Parallel(); unreachableIsNotFailed(t, here) }

func unreachableIsNotFailed(t *testing.T, up starter) {
	p := up(t, harness.Options{GPUs: 2})
	f := p.Function("steady")
	f.Spec.Scaling = functions.Scaling{Min: 1, Max: 2, Slots: 4, KeepAlive: "10m"}
	p.Apply(f)
	before := p.Await("steady", "serving", func(f api.Function) bool { return f.Ready == 1 }).Replicas[0]
	mustInvoke(t, p, "steady", "before")

	t.Run("an agent out of reach", func(t *testing.T) {
		harness.Signal(t, before.PID, unix.SIGSTOP)
		p.Await("steady", "silent", func(f api.Function) bool { return f.Silent == 1 })
		harness.Hold(t, 5*time.Second, "the silent replica is left alone", func() (bool, any) {
			f := p.Get("steady")
			return running(p, before) && len(f.Replicas) >= 1, f.Replicas
		})
		harness.Signal(t, before.PID, unix.SIGCONT)
		after := p.Await("steady", "back", func(f api.Function) bool { return f.Ready >= 1 && f.Silent == 0 })
		same(t, p, before, after)
		mustInvoke(t, p, "steady", "after silence")
	})
	t.Run("a platform killed and started again", func(t *testing.T) {
		for range 2 {
			p.Kill9()
			if !running(p, before) {
				t.Fatal("the replica went with the platform")
			}
			p.Start()
			same(t, p, before, p.Await("steady", "adopted", func(f api.Function) bool { return f.Ready >= 1 }))
			mustInvoke(t, p, "steady", "after restart")
		}
	})
	t.Run("both at once", func(t *testing.T) {
		harness.Signal(t, before.PID, unix.SIGSTOP)
		p.Kill9()
		p.Start()
		id := p.MustPublish(p.JetStream(), "steady", functions.Standard, "asked while nobody can answer")
		harness.Hold(t, 8*time.Second, "a replica that cannot speak is adopted all the same", func() (bool, any) {
			return running(p, before), p.Get("steady").Replicas
		})
		harness.Signal(t, before.PID, unix.SIGCONT)
		same(t, p, before, p.Await("steady", "back", func(f api.Function) bool { return f.Ready >= 1 && f.Silent == 0 }))
		if rec := p.AwaitRecords("steady", []string{id})[id]; rec.Status != events.StatusOK {
			t.Errorf("the request ended with %s: %s", rec.Status, rec.Message)
		}
	})
	if f := p.Get("steady"); f.Failure != nil {
		t.Errorf("a healthy replica counts as failed: %+v", f.Failure)
	}
}

// running tells whether agent and model server of a replica are the processes they were. Of one in a Pod the agent
// does not know the process; it has one in its life.
func running(p *harness.Platform, r api.Replica) bool {
	agent, server := false, false
	for _, x := range p.Processes() {
		agent = agent || x.PID == r.PID && x.Replica == r.ID
		inPod := r.ServerPID == 0 && x.Name == harness.ModelServer
		server = server || (x.PID == r.ServerPID || inPod) && x.Replica == r.ID
	}
	return agent && server
}

// same wants the replica among a function's, with its processes.
func same(t *testing.T, p *harness.Platform, before api.Replica, f api.Function) {
	t.Helper()
	for _, r := range f.Replicas {
		if r.ID == before.ID && r.PID == before.PID && r.ServerPID == before.ServerPID {
			if !running(p, before) {
				t.Errorf("replica %s is listed and its processes are gone", before.ID)
			}
			return
		}
	}
	t.Errorf("replica %s (pids %d and %d) is not among %+v", before.ID, before.PID, before.ServerPID, f.Replicas)
}
