package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// TestGoldenOutput runs the verbs that look, on three functions.
func TestGoldenOutput(t *testing.T) {
	w := newWorld(t, nil)
	for name, args := range map[string]string{
		"get":              "get",
		"get-all":          "get -A",
		"get-one.json":     "get tinylm -o json",
		"get-one.yaml":     "get chat/qwen -o yaml",
		"get-empty":        "get -n nowhere",
		"get-empty.json":   "get -n nowhere -o json",
		"describe":         "describe tinylm",
		"describe-failing": "describe default/broken",
		"describe-zero":    "describe -n chat qwen",
		"explain":          "explain tinylm",
		"explain-failing":  "explain broken --last 1",
		"queue":            "queue list",
		"cost":             "cost",
		"cost-cause":       "cost --by cause --since 1h",
		"cost.json":        "cost --by namespace --since 7d -o json",
		"cost-wrong":       "cost --by colour --since tomorrow",
		"status":           "status",
		"status.json":      "status -o json",
		"missing":          "describe nobody",
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.golden(name, w.run(strings.Fields(args)...))
		})
	}
}

// TestGoldenDryRun shows what a changed manifest would do.
func TestGoldenDryRun(t *testing.T) {
	w := newWorld(t, nil)
	w.golden("dry-run", w.run("apply", "--dry-run", "-f", manifest(t, "f.yaml", manifestText)))
}

// TestDescribeFitsOneScreen describes functions about which there is a lot to say.
func TestDescribeFitsOneScreen(t *testing.T) {
	long := strings.Repeat("a long story about what went wrong, ", 20)
	busy := serving()
	busy.Replicas = append(busy.Replicas[:2], replica("tinylm-"+strings.Repeat("x", 25), "draining", 9*time.Hour, 64))
	busy.Blocked, busy.Silent, busy.Draining, busy.Budget = long, 1, 1, long
	busy.Pending = map[functions.Class]int{functions.Interactive: 10000, functions.Standard: 10000, functions.Batch: 10000}
	busy.GPUSeconds = api.Split{Useful: 123456789.1, Cold: 123456.1, Idle: 1234567.1, Draining: 12345.1, Unknown: 12345.1}
	broken := busy
	broken.Phase, broken.Failure = scale.PhaseFailing, &api.Failure{Replica: "tinylm-3f9c1e0a57", Cause: "never-ready", Message: strings.Repeat(long+"\n", 9), At: noon}
	crowd := busy
	for i := range 100 {
		crowd.Replicas = append(crowd.Replicas, replica(fmt.Sprintf("tinylm-%010d", i), "ready", time.Minute, 1))
	}
	for name, f := range map[string]api.Function{"serving": serving(), "busy": busy, "broken": broken, "crowd": crowd} {
		var b strings.Builder
		must(t, describe(&b, f, noon))
		lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
		if len(lines) > 24 {
			t.Errorf("%s: %d lines:\n%s", name, len(lines), b.String())
		}
		for _, l := range lines {
			if n := utf8.RuneCountInString(l); n > 120 {
				t.Errorf("%s: %d columns: %s", name, n, l)
			}
		}
	}
	var b strings.Builder
	must(t, describe(&b, crowd, noon))
	wants(t, "a crowd", b.String(), "and 95 more", "draining")
}

func TestHealthSaysTheWorstFirst(t *testing.T) {
	for want, edit := range map[string]func(*api.Function){
		"Serving, well":                 func(*api.Function) {},
		"Serving, waits: no GPU":        func(f *api.Function) { f.Blocked, f.Trouble, f.Silent = "no GPU", "x", 1 },
		"Serving, trouble":              func(f *api.Function) { f.Trouble, f.Silent = "the broker is away", 1 },
		"Serving, 2 of its replicas":    func(f *api.Function) { f.Silent = 2 },
		"Failing, NOT WELL: replicas k": func(f *api.Function) { f.Phase, f.Blocked = scale.PhaseFailing, "no GPU" },
	} {
		f := serving()
		edit(&f)
		if got := health(f); !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestAgesAndTimesReadWell(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 119 * time.Second: "119s", 2 * time.Minute: "2m", 119 * time.Minute: "119m", 47 * time.Hour: "47h", 49 * time.Hour: "2d",
	} {
		if got := age(ago(d), noon); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
	for ms, want := range map[float64]string{0: "-", 0.42: "0.4 ms", 64: "64 ms", 9999: "9999 ms", 12_340: "12.3 s"} {
		if got := msText(ms); got != want {
			t.Errorf("%f: %s, want %s", ms, got, want)
		}
	}
}

func TestClipKeepsOneLine(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{{"short", 10, "short"}, {"exactly10!", 10, "exactly10!"}, {"more than ten", 10, "more than…"}, {"two\nlines", 10, "two…"}, {"exactly10!\nmore", 10, "exactly10…"}, {"ünïcödé-text", 5, "ünïc…"}} {
		if got := clip(c.in, c.n); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}
