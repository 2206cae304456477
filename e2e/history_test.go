package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"golang.org/x/sys/unix"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/workflows"
)

// record writes the histories of TestHistories into workflows/testdata/history, where today's workflows and all
// later ones are replayed against them. A change that breaks one gets a named version (workflows/versions.go) and a
// history of its own, under a new name; a history that was published once stays.
var record = flag.Bool("record", false, "record the histories of TestHistories below workflows/testdata/history")

// historyDir is seen from this package's directory.
const historyDir = "../workflows/testdata/history"

// TestHistories takes functions through every turn a workflow knows, on the real system, and replays what Temporal
// wrote down: the workflows are deterministic where it counts, beside real activities.
func TestHistories(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{GPUs: 2})
	t.Run("wake, serve, zero", func(t *testing.T) {
		p.Apply(p.Function("wake"))
		mustInvoke(t, p, "wake", "x")
		p.AwaitZero("wake")
		mustInvoke(t, p, "wake", "again")
		p.AwaitZero("wake")
		replay(t, p, "wake-serve-zero", "wake", "")
	})
	t.Run("roll-out", func(t *testing.T) {
		rolled := func(tag string) functions.Function {
			f := p.Function("rollout", "-tag", tag)
			f.Spec.Scaling.KeepAlive = "10m"
			return f
		}
		p.Apply(rolled("one"))
		mustInvoke(t, p, "rollout", "x")
		p.Apply(rolled("two"))
		p.Await("rollout", "the second revision alone", func(f api.Function) bool {
			return len(f.Replicas) == 1 && f.Ready == 1 && f.Replicas[0].Revision == f.Revision
		})
		replay(t, p, "rollout", "rollout", "")
		remove(t, p, "rollout")
	})
	t.Run("crash loop", func(t *testing.T) {
		p.Apply(p.Function("crashing", "-mode", "no-start"))
		p.MustPublish(p.JetStream(), "crashing", functions.Standard, "x")
		p.Await("crashing", "failing", func(f api.Function) bool { return f.Phase == scale.PhaseFailing })
		replay(t, p, "crash-loop", "crashing", "")
	})
	t.Run("delete", func(t *testing.T) {
		f := p.Function("deleted")
		f.Spec.Scaling.KeepAlive = "10m"
		p.Apply(f)
		mustInvoke(t, p, "deleted", "x")
		remove(t, p, "deleted")
		replay(t, p, "delete", "deleted", "")
	})
	t.Run("a job", func(t *testing.T) {
		p.Submit(p.Job("train", 2, "-steps", "400"))
		p.AwaitJob("train", "has a checkpoint", func(j api.Job) bool { return harness.Trains(20)(j) && j.Saved.Step > 0 })
		steerJob(t, p, "train", api.JobPause)
		p.AwaitPhase("train", job.Paused)
		steerJob(t, p, "train", api.JobResume)
		j := p.AwaitJob("train", "goes on", func(j api.Job) bool { return j.Attempt == 2 && harness.Trains(j.Saved.Step)(j) })
		harness.Signal(t, j.Ranks[0].PID, unix.SIGKILL)
		p.AwaitPhase("train", job.Succeeded)
		replayOf(t, p, "job", workflows.JobWorkflowID(harness.Key("train"), j.UID), "")
	})
	if *record { // minutes: a run is two thousand events long. TestFunctionSurvivesContinueAsNew crosses it each time
		t.Run("continue as new", func(t *testing.T) { continueAsNew(t, p) })
		t.Run("start in doubt", startInDoubt)
	}
}

// startInDoubt takes the agent's program away for longer than an activity has patience.
func startInDoubt(t *testing.T) {
	agent, away := filepath.Join(t.TempDir(), harness.Agent), filepath.Join(t.TempDir(), "away")
	program, err := os.ReadFile(harness.Bin(t, harness.Agent))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(agent, program, 0o755); err != nil {
		t.Fatal(err)
	}
	p := harness.Up(t, harness.Options{GPUs: 1, Args: []string{"--agent", agent}})
	p.Apply(p.Function("doubted"))
	move := func(from, to string) {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	move(agent, away)
	p.MustPublish(p.JetStream(), "doubted", functions.Standard, "x")
	harness.Eventually(t, "a start in doubt", func() (bool, any) {
		st, err := (workflows.Client{Temporal: p.Temporal()}).Status(t.Context(), harness.Key("doubted"))
		return slices.ContainsFunc(st.Replicas, func(r workflows.ReplicaState) bool { return r.Doubt }), fmt.Sprint(st, err)
	})
	move(away, agent)
	mustInvoke(t, p, "doubted", "y")
	p.AwaitZero("doubted")
	replay(t, p, "start-in-doubt", "doubted", "")
}

// mostTurns bounds how often a function is paused and resumed until its history is full.
const mostTurns = 2000

func continueAsNew(t *testing.T, p *harness.Platform) {
	f := p.Function("busy")
	f.Spec.Scaling.Max, f.Spec.Scaling.KeepAlive = 2, "10m"
	p.Apply(f)
	mustInvoke(t, p, "busy", "x")
	first := describe(t, p, "busy").GetExecution().GetRunId()
	turns := 0
	for ; turns < mostTurns && describe(t, p, "busy").GetExecution().GetRunId() == first; turns++ {
		n := 1 + turns%2
		if err := p.API.Scale(t.Context(), harness.Key("busy"), &n); err != nil {
			t.Fatal(err)
		}
		p.Await("busy", "as many as asked for", func(f api.Function) bool { return f.Target == n })
	}
	if turns == mostTurns {
		t.Fatalf("the history did not fill up in %d turns", turns)
	}
	t.Logf("a new run after %d turns", turns)
	mustInvoke(t, p, "busy", "the new run knows the replica")
	one := 1
	if err := p.API.Scale(t.Context(), harness.Key("busy"), &one); err != nil {
		t.Fatal(err)
	}
	p.Await("busy", "one replica", func(f api.Function) bool { return f.Ready == 1 && len(f.Replicas) == 1 })
	replay(t, p, "continue-as-new-1", "busy", first)
	replay(t, p, "continue-as-new-2", "busy", "")
	remove(t, p, "busy")
}

type described interface {
	GetExecution() *commonpb.WorkflowExecution
}

// newest is the ID of a workflow's newest run.
func newest(t *testing.T, p *harness.Platform, id string) string {
	t.Helper()
	d, err := p.Temporal().DescribeWorkflowExecution(t.Context(), id, "")
	if err != nil {
		t.Fatal(err)
	}
	return d.GetWorkflowExecutionInfo().GetExecution().GetRunId()
}

func describe(t *testing.T, p *harness.Platform, name string) described {
	t.Helper()
	d, err := p.Temporal().DescribeWorkflowExecution(t.Context(), workflows.FunctionWorkflowID(harness.Key(name)), "")
	if err != nil {
		t.Fatal(err)
	}
	return d.GetWorkflowExecutionInfo()
}

// replay fetches a run's history ("" is the newest run), replays it and, with -record, keeps it.
func replay(t *testing.T, p *harness.Platform, file, name, run string) {
	t.Helper()
	replayOf(t, p, file, workflows.FunctionWorkflowID(harness.Key(name)), run)
}

func replayOf(t *testing.T, p *harness.Platform, file, workflow, run string) {
	t.Helper()
	h := fetchHistory(t, p.Temporal(), workflow, run)
	r := worker.NewWorkflowReplayer()
	workflows.RegisterWorkflows(r)
	if err := r.ReplayWorkflowHistory(quiet, h); err != nil {
		t.Errorf("replay of %s, %d events: %v", file, len(h.GetEvents()), err)
	}
	if *record {
		write(t, p, filepath.Join(historyDir, file+".json.gz"), h)
	}
}

func fetchHistory(t *testing.T, c client.Client, id, run string) *historypb.History {
	t.Helper()
	h := &historypb.History{}
	it := c.GetWorkflowHistory(t.Context(), id, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for it.HasNext() {
		e, err := it.Next()
		if err != nil {
			t.Fatal(err)
		}
		h.Events = append(h.Events, e)
	}
	if len(h.GetEvents()) == 0 {
		t.Fatalf("workflow %s has no history", id)
	}
	return h
}

// write keeps a history as the SDK's replayer reads it, without the names of this machine.
func write(t *testing.T, p *harness.Platform, path string, h *historypb.History) {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	neutral := func(b []byte) []byte {
		for old, now := range map[string]string{p.Dir: "/var/lib/stoker", filepath.Dir(p.BookFile("x")): "/tmp/books", root: "/opt/stoker", `"` + host + `"`: `"node"`, "@" + host + "@": "@node@"} {
			b = bytes.ReplaceAll(b, []byte(old), []byte(now))
		}
		return b
	}
	visit := func(_ *proxy.VisitPayloadsContext, ps []*commonpb.Payload) ([]*commonpb.Payload, error) {
		for _, x := range ps {
			x.Data = neutral(x.Data)
		}
		return ps, nil
	}
	if err := proxy.VisitPayloads(context.Background(), h, proxy.VisitPayloadsOptions{Visitor: visit}); err != nil {
		t.Fatal(err)
	}
	data, err := temporalproto.CustomJSONMarshalOptions{Indent: " "}.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(neutral(data)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, zipped.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("recorded %s, %d events, %d bytes", path, len(h.GetEvents()), zipped.Len())
}

var quiet = slog.New(slog.DiscardHandler)
