package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/workflows"
)

// TestTemporalFileDeleted deletes Temporal's database under living replicas: the next start rebuilds the workflows
// and adopts what runs.
func TestTemporalFileDeleted(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{GPUs: 2})
	f := p.Function("rebuilt")
	f.Spec.Scaling.KeepAlive = "1h"
	p.Apply(f, p.Function("asleep"))
	mustInvoke(t, p, "rebuilt", "before")
	before := p.Await("rebuilt", "ready", func(f api.Function) bool { return f.Ready == 1 }).Replicas[0]
	p.Kill9()
	files, err := filepath.Glob(filepath.Join(p.Dir, "temporal*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no database found: %v, %v", files, err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	p.Start()
	same(t, p, before, p.Await("rebuilt", "adopted", func(f api.Function) bool { return f.Ready == 1 }))
	mustInvoke(t, p, "rebuilt", "after")
	mustInvoke(t, p, "asleep", "after") // one that held nothing is woken as ever
	d, err := p.Temporal().DescribeWorkflowExecution(t.Context(), workflows.FunctionWorkflowID(harness.Key("rebuilt")), "")
	if err != nil || d.WorkflowExecutionInfo.CloseTime != nil {
		t.Errorf("the function's workflow does not run: %v, %v", d, err)
	}
	// The new workflow carries the adopted replica: it can end it, and its lease.
	remove(t, p, "rebuilt")
	if running(p, before) {
		t.Error("the adopted replica outlives its function")
	}
}

// TestAgentDeadTakesItsTree kills agents: the model server's whole tree goes, and the requests go elsewhere.
func TestAgentDeadTakesItsTree(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{GPUs: 2})
	f := p.Function("orphans", "-mode", "grandchild", "-delay", "2s")
	f.Spec.Scaling.KeepAlive = "1h"
	f.Spec.Queue.Attempts = 10
	p.Apply(f)
	for range 2 {
		id := p.MustPublish(p.JetStream(), "orphans", functions.Standard, "x")
		harness.Eventually(t, "the request runs", func() (bool, any) { return harness.Runs(p.Books("orphans"))[id] > 0, nil })
		tree := p.Processes()
		if len(tree) != 3 {
			t.Fatalf("agent, model server and what that left behind: %v", tree)
		}
		harness.Signal(t, p.Running(harness.Agent)[0].PID, unix.SIGKILL)
		harness.Eventually(t, "the whole tree gone", func() (bool, any) {
			for _, now := range p.Processes() {
				for _, old := range tree {
					if now.PID == old.PID {
						return false, now
					}
				}
			}
			return true, nil
		})
		if rec := p.AwaitRecords("orphans", []string{id})[id]; rec.Status != events.StatusOK {
			t.Errorf("%s: %s: %s", id, rec.Status, rec.Message)
		}
	}
	if c := p.Conflicts(); len(c) > 0 {
		t.Errorf("the GPU was given away too early: %+v", c)
	}
}

// TestCredentialsStayWithTheAgent looks at the environment of a running model server.
func TestCredentialsStayWithTheAgent(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{Env: []string{"STOKER_SECRET_OF_THE_PLATFORM=platform-secret"}})
	p.Apply(p.Function("curious"))
	mustInvoke(t, p, "curious", "x")
	for _, x := range p.Running(harness.ModelServer) {
		env, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(x.PID), "environ"))
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{p.Server.AdminToken, "platform-secret", "STOKER_AGENT_CONFIG"} {
			if bytes.Contains(env, []byte(secret)) {
				t.Errorf("the model server's environment holds %q", secret)
			}
		}
	}
}
