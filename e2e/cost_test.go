package e2e

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/spending"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/cost"
)

// simulatedPrices price the simulated GPUs so that a budget of some hundred USD is a matter of seconds.
const simulatedPrices = `
prices: [{provider: test, region: here, product: Simulated, onDemand: 720, date: 2026-11-27, source: "https://example.com"}]
pools: {default: {provider: test, region: here}}
`

// perGPUSecond is that price, in USD.
const perGPUSecond = 720.0 / 3600

// priced is a platform with prices.
func priced(t *testing.T, gpus int) *harness.Platform {
	t.Helper()
	file := filepath.Join(t.TempDir(), "prices.yaml")
	if err := os.WriteFile(file, []byte(simulatedPrices), 0o600); err != nil {
		t.Fatal(err)
	}
	return harness.Up(t, harness.Options{GPUs: gpus, Env: []string{"STOKER_PRICES=" + file}})
}

// ran is how long a function's replicas ran, by their provider's own record of start and end.
func ran(t *testing.T, p *harness.Platform, k functions.Key) (seconds float64, n int) {
	t.Helper()
	lives := livesOf(t, p, k)
	for _, l := range lives {
		seconds += l.Ended.Sub(l.Begun).Seconds()
	}
	return seconds, len(lives)
}

// life is a replica's.
type life struct{ Begun, Ended time.Time }

func livesOf(t *testing.T, p *harness.Platform, k functions.Key) (out []life) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.Dir, "replicas", "*", "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r struct {
			Key functions.Key
			life
		}
		if err := json.Unmarshal(data, &r); err != nil {
			t.Fatal(err)
		}
		if r.Key != k {
			continue
		}
		if r.Begun.IsZero() || r.Ended.IsZero() {
			t.Errorf("%s: begun %v, ended %v", file, r.Begun, r.Ended)
		}
		out = append(out, r.life)
	}
	return out
}

// flushed waits until what was booked up to a moment is stored: what came later, a kill may take.
func flushed(t *testing.T, p *harness.Platform, at time.Time) {
	t.Helper()
	kv, err := p.JetStream().KeyValue(t.Context(), events.BucketCost)
	if err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "GPU time stored", func() (bool, any) {
		e, err := kv.Get(t.Context(), "default.meter")
		if err != nil {
			return false, err
		}
		var m cost.Meter
		err = json.Unmarshal(e.Value(), &m)
		return err == nil && m.At.After(at), m.At
	})
}

// TestCostAddsUp lets two functions come and go on two GPUs, kills the platform in between, and compares what
// `stoker cost` says with GPUs x time and with what the provider wrote down.
func TestCostAddsUp(t *testing.T) {
	t.Parallel()
	p := priced(t, 2)
	const busy, quiet, delay = "busy", "quiet", 300 * time.Millisecond
	p.Apply(p.Function(busy, "-load", "500ms", "-delay", delay.String()), p.Function(quiet))
	asked := 0
	for range 5 {
		mustInvoke(t, p, busy, "x")
		asked++
	}
	mustInvoke(t, p, quiet, "x")
	p.AwaitZero(quiet)
	flushed(t, p, time.Now())
	mustInvoke(t, p, busy, "x")
	asked++
	p.Kill9()
	p.Start()
	mustInvoke(t, p, busy, "x")
	asked++
	p.AwaitZero(busy)

	r, err := p.API.Cost(t.Context(), cost.ByFunction, "1h")
	if err != nil {
		t.Fatal(err)
	}
	provisioned := 2 * r.To.Sub(r.From).Seconds()
	if math.Abs(r.Total.GPUSeconds-provisioned) > 0.1 {
		t.Errorf("two GPUs from %v to %v are %.3f GPU-seconds, the total is %.3f", r.From, r.To, provisioned, r.Total.GPUSeconds)
	}
	if r.Total.USD == nil || math.Abs(*r.Total.USD-provisioned*perGPUSecond) > 0.1 || r.Total.Unpriced != 0 {
		t.Errorf("%.3f GPU-seconds at %v USD cost %v", provisioned, perGPUSecond, r.Total)
	}
	lines := map[string]cost.Line{}
	sum := 0.0
	for _, l := range r.Lines {
		lines[l.Name] = l
		sum += l.GPUSeconds
	}
	if math.Abs(sum-r.Total.GPUSeconds) > 1e-6 {
		t.Errorf("the lines are %.6f, the total %.6f", sum, r.Total.GPUSeconds)
	}
	for _, name := range []string{busy, quiet} {
		held, n := ran(t, p, harness.Key(name))
		l := lines[harness.Key(name).String()]
		if n == 0 || l.GPUSeconds < held-0.1 || l.GPUSeconds > held+spending.FlushEvery.Seconds() {
			t.Errorf("%s: the provider ran %d replicas for %.3f s, and they cost %.3f GPU-seconds", name, n, held, l.GPUSeconds)
		}
	}
	b := lines[harness.Key(busy).String()]
	if int(b.Served) != asked || b.Causes[cost.Useful] < float64(asked)*delay.Seconds()-0.1 || b.Causes[cost.Cold] < 0.5 || b.Causes[cost.Idle] <= 0 || b.PerThousandRequests == nil {
		t.Errorf("%d requests of %v: %+v", asked, delay, b)
	}
	if unknown := r.Total.Causes[cost.Unknown]; unknown > 2*spending.FlushEvery.Seconds() {
		t.Errorf("a kill may cost %v of each GPU, and %.3f GPU-seconds are unknown", spending.FlushEvery, unknown)
	}
	out, err := p.Command(t.Context(), "cost", "--by", "cause", "--since", "1h", "-o", "json").Output()
	var causes cost.Report
	if err != nil || json.Unmarshal(out, &causes) != nil || causes.Total.GPUSeconds < r.Total.GPUSeconds {
		t.Errorf("stoker cost: %v: %s", err, out)
	}
}

// TestBudgetHoldsReplicasBack lets a function spend what its budget allows, and raises the budget.
func TestBudgetHoldsReplicasBack(t *testing.T) {
	t.Parallel()
	p := priced(t, 1)
	f := p.Function("thrifty")
	f.Spec.Scaling.KeepAlive = "10m"
	// A replica must be able to run for five minutes, 60 USD: with 66 it is let go after 30 s.
	f.Spec.Scaling.Budget = functions.Budget{PerMonth: "66", Action: functions.BudgetCap}
	p.Apply(f)
	mustInvoke(t, p, "thrifty", "x")
	p.Await("thrifty", "gone for want of money", func(f api.Function) bool { return len(f.Replicas) == 0 && f.Budget != "" })
	id := p.MustPublish(p.JetStream(), "thrifty", functions.Standard, "later")
	held := p.Await("thrifty", "held back", func(f api.Function) bool {
		return f.Phase == scale.PhaseWaiting && f.Last.Limit == scale.ReasonBudget && f.Pending[functions.Standard] == 1
	})
	if held.Last.Reason != scale.ReasonBudget || held.Target != 0 {
		t.Errorf("it waits for another reason: %+v", held.Last)
	}
	explained, err := p.Command(t.Context(), "explain", "thrifty", "-o", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "now.json")
	if err := os.WriteFile(file, explained, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := p.Command(t.Context(), "decide", "-f", file, "-o", "json").Output()
	var answer scale.Answer
	if err != nil || json.Unmarshal(out, &answer) != nil || answer.Decision.Limit != scale.ReasonBudget || answer.Decision.Target != 0 {
		t.Errorf("asked again, it is decided otherwise: %v %s", err, out)
	}
	f.Spec.Scaling.Budget.PerMonth = "1k"
	p.Apply(f)
	if rec := p.AwaitRecords("thrifty", []string{id})[id]; rec.Status != events.StatusOK {
		t.Errorf("with a higher budget the request ended as %s: %s", rec.Status, rec.Message)
	}
}
