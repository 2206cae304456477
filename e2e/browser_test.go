package e2e

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/workflows"
)

// TestLogbookInABrowser opens the pages of a function and of a training job of Temporal's UI, through the platform's own port, in a real
// chromium and reads what a person would see. E2E_SCREENSHOTS names a directory that gets pictures of the pages.
func TestLogbookInABrowser(t *testing.T) {
	t.Parallel()
	b := harness.OpenBrowser(t)
	p := harness.Up(t, harness.Options{GPUs: 2})
	f := p.Function("shown")
	f.Spec.Scaling.KeepAlive = "10m"
	p.Apply(f)
	mustInvoke(t, p, "shown", "x")
	got := p.Await("shown", "held warm", func(f api.Function) bool { return f.Phase == scale.PhaseIdle })

	b.Read(p.Server.UI, "`stoker ui`") // a browser that nobody let in
	b.Read(strings.TrimSpace(stoker(t, p, "ui")), "Workflows")
	base := p.Server.HTTP + "/temporal/namespaces/" + p.Server.Namespace + "/workflows"
	id := workflows.FunctionWorkflowID(harness.Key("shown"))
	b.Read(base, id)
	shot(t, b, "list")
	run := describe(t, p, "shown").GetExecution().GetRunId()
	page := base + "/" + url.PathEscape(id) + "/" + run
	b.Read(page+"/history", id)
	shot(t, b, "history")
	defer shot(t, b, "details")
	b.Read(page+"/user-metadata", "function default/shown", got.Replicas[0].ID, "Idle", string(got.Last.Reason))

	p.Submit(p.Job("train", 1, "-steps", "40"))
	j := p.AwaitPhase("train", job.Succeeded) // while it trains the page is soon full of later events
	id = workflows.JobWorkflowID(harness.Key("train"), j.UID)
	run = newest(t, p, id)
	page = base + "/" + url.PathEscape(id) + "/" + run
	b.Read(page+"/history", id, "open the barrier")
	shot(t, b, "job-history")
	b.Read(page+"/user-metadata", "job default/train", "succeeded", "checkpoint of step", "attempt 1")
	shot(t, b, "job-details")
}

func shot(t *testing.T, b *harness.Browser, name string) {
	t.Helper()
	if dir := os.Getenv("E2E_SCREENSHOTS"); dir != "" {
		b.Screenshot(filepath.Join(dir, name+".png"))
	}
}
