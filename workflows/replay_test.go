package workflows_test

import (
	"compress/gzip"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"stoker.dev/stoker/workflows"
)

// histories are what real platforms recorded: go test ./e2e/ -run TestHistories -record
const histories = "testdata/history/*.json.gz"

// TestReplay replays every recorded history against today's workflows: a platform that is upgraded goes on with the
// workflows that run.
func TestReplay(t *testing.T) {
	recorded := map[string]bool{}
	for _, path := range recordings(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			h := readHistory(t, path)
			recorded[typeOf(h)] = true
			r := worker.NewWorkflowReplayer()
			workflows.RegisterWorkflows(r)
			if err := r.ReplayWorkflowHistory(slog.New(slog.DiscardHandler), h); err != nil {
				t.Errorf("%d events: %v\na change of behaviour gets a named version in workflows/versions.go", len(h.GetEvents()), err)
			}
		})
	}
	for _, name := range unrecorded(workflows.Types(), recorded) {
		t.Errorf("workflow type %s has no recorded history in %s", name, histories)
	}
}

// TestReplayNoticesAChange replays a history against a workflow that does something else: a check that cannot fail
// proves nothing.
func TestReplayNoticesAChange(t *testing.T) {
	h := readHistory(t, recordings(t)[0])
	r := worker.NewWorkflowReplayer()
	r.RegisterWorkflowWithOptions(func(ctx workflow.Context, _ workflows.State) error {
		return workflow.Sleep(ctx, 1)
	}, workflow.RegisterOptions{Name: typeOf(h)})
	if err := r.ReplayWorkflowHistory(slog.New(slog.DiscardHandler), h); err == nil {
		t.Error("a workflow that does something else replays without an error")
	}
	if got := unrecorded([]string{"Function", "Another"}, map[string]bool{"Function": true}); !slices.Equal(got, []string{"Another"}) {
		t.Errorf("types without a history: %v, want Another", got)
	}
}

// unrecorded are the types without a history.
func unrecorded(types []string, recorded map[string]bool) []string {
	return slices.DeleteFunc(slices.Clone(types), func(name string) bool { return recorded[name] })
}

func recordings(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(histories)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no histories at %s: %v", histories, err)
	}
	return paths
}

func readHistory(t *testing.T, path string) *historypb.History {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	h, err := client.HistoryFromJSON(z, client.HistoryJSONOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func typeOf(h *historypb.History) string {
	return h.GetEvents()[0].GetWorkflowExecutionStartedEventAttributes().GetWorkflowType().GetName()
}
