package page

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stoker.dev/stoker/cmd/stoker/simulate"
	policies "stoker.dev/stoker/scale/simulate"
)

const hostile = `</script><img src=x onerror=alert(1)>"`

// trace writes n requests to so many functions, a second apart, and the last to a hostile one.
func trace(t *testing.T, n, functions int) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("arrival_s,exec_s,model\n")
	for i := range n {
		fmt.Fprintf(&b, "%d,0.5,m%d\n", i, i%functions)
	}
	fmt.Fprintf(&b, "%d,0.5,\"%s\"\n", n, strings.ReplaceAll(hostile, `"`, `""`))
	path := filepath.Join(t.TempDir(), "t.csv")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func options(t *testing.T, trace string) simulate.Options {
	t.Helper()
	p, err := simulate.ParseProfile("p.yaml", []byte("slots: 2\nwaitSLO: {p99: 25s}\n"))
	if err != nil {
		t.Fatal(err)
	}
	return simulate.Options{
		Trace: trace, Profile: p, Settings: p.Settings, Seed: 1,
		Policies: []string{"stoker", "timer-5s", "timer-300s", policies.NamePeak, policies.NameFixed, policies.NameOracle},
	}
}

// drawTo runs and draws; the page's text and its data.
func drawTo(ctx context.Context, t *testing.T, path string, o simulate.Options) (string, data) {
	t.Helper()
	d, err := Begin(path, &o)
	if err != nil {
		t.Fatal(err)
	}
	report, err := simulate.Run(ctx, o)
	if err := errors.Join(err, d.End(report, err == nil)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got data
	_, after, _ := strings.Cut(string(text), "const data = ")
	if err := json.NewDecoder(strings.NewReader(after)).Decode(&got); err != nil {
		t.Fatalf("the data of the page: %v", err)
	}
	return string(text), got
}

// TestPageStandsAlone: it loads nothing, forbids the browser to, and shows names as text.
func TestPageStandsAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.html")
	text, _ := drawTo(context.Background(), t, path, options(t, trace(t, 500, 3)))
	ours := strings.Replace(text, echartsJS, "", 1)
	for _, never := range []string{"<link", "<script ", "src=\"", "url(", "http:", "https:", "@import", "<img", hostile} {
		if strings.Contains(ours, never) {
			t.Errorf("the page holds %q", never)
		}
	}
	for _, want := range []string{`content="default-src 'none'`, "25s", "<th>timer-300s</th>", "<th>oracle</th>", "501 requests to 4 functions"} {
		if !strings.Contains(ours, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if n := strings.Count(text, "</script>"); n != 2 {
		t.Errorf("%d ends of scripts, want 2", n)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) != 0 {
		t.Errorf("left over: %q", left)
	}
}

// TestPlotsAgreeWithTheFigures: the areas under the lines are the GPU-seconds of the table.
func TestPlotsAgreeWithTheFigures(t *testing.T) {
	o := options(t, trace(t, 3000, 3))
	d, err := Begin(filepath.Join(t.TempDir(), "r.html"), &o)
	if err != nil {
		t.Fatal(err)
	}
	report, err := simulate.Run(context.Background(), o)
	if err := errors.Join(err, d.End(report, true)); err != nil {
		t.Fatal(err)
	}
	for _, r := range report.Results[:4] {
		l := d.recorded.lines[r.Policy]
		sum := func(s *strip) (x float64) {
			for _, a := range s.area {
				x += a
			}
			return x
		}
		held, cold, busy := sum(l.held), sum(l.cold), sum(l.busy)
		if near := func(a, b float64) bool { return a-b < 1e-6*(1+b) && b-a < 1e-6*(1+b) }; !near(held, r.GPUSeconds) || !near(cold, r.Cold) || !near(busy, r.Useful) {
			t.Errorf("%s: drawn %g GPU-seconds, %g cold, %g useful; the table says %g, %g, %g", r.Policy, held, cold, busy, r.GPUSeconds, r.Cold, r.Useful)
		}
	}
}

// TestManyFunctions: with 300 functions the page says what it leaves out, and stays small.
func TestManyFunctions(t *testing.T) {
	text, got := drawTo(context.Background(), t, filepath.Join(t.TempDir(), "r.html"), options(t, trace(t, 20_000, 299)))
	if len(got.Cold.Functions) != maxShown || got.Cold.More != 280 || len(got.Lines) != 5 || len(got.Points) != 6 {
		t.Errorf("%d functions and %d more, %d lines, %d points", len(got.Cold.Functions), got.Cold.More, len(got.Lines), len(got.Points))
	}
	for _, l := range got.Lines {
		if n := len(l.Held); n == 0 || n > maxBins || len(l.Queued) != n {
			t.Errorf("%s: %d intervals", l.Name, n)
		}
	}
	if ours := len(text) - len(echartsJS); ours > 200<<10 {
		t.Errorf("%d bytes beside the library", ours)
	}
}

// TestInterruptedPage: what is done so far is drawn, and the page says that it is a part;
// before the simulation began it says that there is nothing.
func TestInterruptedPage(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o := options(t, trace(t, 20_000, 2))
	o.Progress = func(pass string, _, _ int64) {
		if pass == "simulate" {
			cancel()
		}
	}
	text, got := drawTo(ctx, t, filepath.Join(t.TempDir(), "r.html"), o)
	if !strings.Contains(text, "Interrupted: everything here") || len(got.Lines) != 5 || got.Points[0].Hours <= 0 {
		t.Errorf("%d lines, points %+v", len(got.Lines), got.Points)
	}
	text, _ = drawTo(ctx, t, filepath.Join(t.TempDir(), "r.html"), o)
	if !strings.Contains(text, "there are no figures") {
		t.Error("nothing was simulated, and the page does not say so")
	}
}

// TestPageFile: a path that cannot be written fails before the run; after a failed run what
// stood at the path stays.
func TestPageFile(t *testing.T) {
	o := options(t, trace(t, 10, 1))
	if _, err := Begin(filepath.Join(t.TempDir(), "none", "r.html"), &o); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	path := filepath.Join(t.TempDir(), "r.html")
	if err := os.WriteFile(path, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Begin(path, &o)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.End(simulate.Report{}, false); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(path); !bytes.Equal(text, []byte("before")) {
		t.Errorf("the file is now %q", text)
	}
	var none *Drawing
	if err := none.End(simulate.Report{}, true); err != nil {
		t.Error(err)
	}
}
