package e2e

import (
	"context"
	"html"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/workflows"
)

// browserTime is how long a page may load and draw in the browser's own clock.
const browserTime = "20000" // milliseconds

// TestLogbookInABrowser opens the function's page of Temporal's UI, through the platform's own port, in a real
// browser and reads what a person would see.
func TestLogbookInABrowser(t *testing.T) {
	t.Parallel()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skipf("no chromium here, which CI installs: %v", err)
	}
	p := harness.Up(t, harness.Options{})
	f := p.Function("shown")
	f.Spec.Scaling.KeepAlive = "10m"
	p.Apply(f)
	mustInvoke(t, p, "shown", "x")
	got := p.Await("shown", "serving", func(f api.Function) bool { return f.Phase == scale.PhaseServing && f.Ready == 1 })

	base := p.Server.HTTP + "/temporal/namespaces/" + p.Server.Namespace + "/workflows"
	id := workflows.FunctionWorkflowID(harness.Key("shown"))
	list := pageText(t, chromium, base, id)
	contains(t, "the list of workflows", list, id, "Running")
	run := p.Temporal().GetWorkflow(t.Context(), id, "").GetRunID()
	if d, err := p.Temporal().DescribeWorkflowExecution(t.Context(), id, ""); err == nil {
		run = d.GetWorkflowExecutionInfo().GetExecution().GetRunId()
	}
	page := pageText(t, chromium, base+"/"+url.PathEscape(id)+"/"+run+"/history", "function default/shown")
	contains(t, "the function's page", page, id, "function default/shown", got.Replicas[0].ID)
}

var tags = regexp.MustCompile(`(?s)<(script|style)[^>]*>.*?</(script|style)>|<[^>]+>`)

// pageText is a page's text once want is among it; the browser renders it anew until then.
func pageText(t *testing.T, chromium, address, want string) string {
	t.Helper()
	var text string
	harness.Eventually(t, address+" shows "+want, func() (bool, any) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		dir := t.TempDir()
		cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
			"--user-data-dir="+dir, "--window-size=1400,1800", "--virtual-time-budget="+browserTime,
			"--screenshot="+filepath.Join(dir, "page.png"), "--dump-dom", address)
		cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
		out, err := cmd.Output()
		if keep := os.Getenv("E2E_SCREENSHOTS"); keep != "" && err == nil {
			if png, err := os.ReadFile(filepath.Join(dir, "page.png")); err == nil {
				_ = os.WriteFile(filepath.Join(keep, time.Now().Format("150405.000")+".png"), png, 0o600)
			}
		}
		text = strings.Join(strings.Fields(html.UnescapeString(tags.ReplaceAllString(string(out), " "))), " ")
		return err == nil && strings.Contains(text, want), text
	})
	return text
}
