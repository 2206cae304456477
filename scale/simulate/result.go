package simulate

import (
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"stoker.dev/stoker/scale"
)

// Result is what a policy would have cost on a trace. Field names are those of the JSON that
// `stoker simulate --json` prints.
type Result struct {
	Policy     string  `json:"policy"`
	GPUSeconds float64 `json:"gpu_seconds"` // useful + cold + idle
	Useful     float64 `json:"useful"`      // GPU-seconds with at least one request in flight
	Cold       float64 `json:"cold"`        // GPU-seconds from start to ready
	Idle       float64 `json:"idle"`        // GPU-seconds ready, nothing in flight
	CostUSD    float64 `json:"cost_usd"`
	ColdRate   float64 `json:"cold_start_rate"`     // share of requests that found no ready replica
	ColdP75    float64 `json:"cold_start_rate_p75"` // 75th percentile of that share over functions
	Wait       Waits   `json:"wait_ms"`
	Attainment float64 `json:"slo_attainment"` // share of requests within the objective's wait
	VsPeak     float64 `json:"vs_peak"`        // GPU-seconds divided by those of always-on for the highest demand; 0: not known
	VsFixed    float64 `json:"vs_fixed"`       // GPU-seconds divided by those of the fewest always-on replicas that meet the objective; 0: not known
	VsOracle   float64 `json:"vs_oracle"`      // GPU-seconds divided by the bound; 0: not known
	Decisions  float64 `json:"decisions"`      // changes of what runs, per hour of the trace

	Requests   int     `json:"requests"`
	Functions  int     `json:"functions"`
	ColdStarts int     `json:"cold_starts"`      // replicas started
	Unserved   int     `json:"unserved"`         // requests that no replica had taken when patience ended
	Seconds    float64 `json:"trace_seconds"`    // first arrival to the last request's end
	PerSecond  float64 `json:"requests_per_sec"` // simulated, per second of CPU time, so per core; 0: not measured
}

// Waits are quantiles of the wait, milliseconds. They come from a histogram with three
// significant digits: each is within 0.1 % of the exact one, or within 0.1 ms.
type Waits struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// waits sketches the distribution of waits, in tenths of a millisecond.
type waits struct{ h *hdrhistogram.Histogram }

const (
	waitUnit    = 100 * time.Microsecond
	maxWait     = 100 * 24 * time.Hour // longer ones count as this long: nobody waits for months
	waitFigures = 3
)

func newWaits() waits { return waits{hdrhistogram.New(1, int64(maxWait/waitUnit), waitFigures)} }

func (w waits) record(d time.Duration) {
	_ = w.h.RecordValue(int64(min(d, maxWait) / waitUnit)) // fails only beyond maxWait
}

func (w waits) quantiles() Waits {
	at := func(p float64) float64 {
		return float64(w.h.ValueAtPercentile(p)) * float64(waitUnit) / float64(time.Millisecond)
	}
	return Waits{P50: at(50), P95: at(95), P99: at(99)}
}

// tally is what a function has come to.
type tally struct {
	requests, coldRequests, inTime int
	decisions                      int
	split                          scale.Split // replica-seconds
}

// close closes the books of a replica.
func (t *tally) close(r *replica, now time.Duration) { t.split = t.split.Add(r.split(now)) }

// split is what a replica's time went to until now.
func (r *replica) split(now time.Duration) scale.Split {
	life, useful := now-r.started, r.useful
	cold := min(r.readyAt, now) - r.started
	if r.inFlight > 0 {
		useful += now - r.busySince
	}
	return scale.Split{Useful: useful.Seconds(), Cold: cold.Seconds(), Idle: (life - cold - useful).Seconds()}
}

// split is what a function's GPUs went to until now, GPU-seconds.
func (f *function) split(now time.Duration) scale.Split {
	all := f.tally.split
	for _, r := range f.replicas {
		all = all.Add(r.split(now))
	}
	return all.Scale(float64(f.gpus))
}

// Result ends the world and says what it came to: what waits and runs is served first.
func (w *World) Result() Result {
	return w.sum(w.finish())
}

// SoFar says what the world has come to at the last arrival, for who cannot wait. The world
// goes on.
func (w *World) SoFar() Result { return w.sum(w.now) }

// sum adds the functions up, as they are at the end.
func (w *World) sum(end time.Duration) Result {
	r := Result{Policy: w.family.Name, Functions: len(w.functions), Seconds: (end - w.begin).Seconds()}
	var split scale.Split
	var inTime, decisions, cold int
	rates := make([]float64, 0, len(w.functions))
	for _, f := range w.functions {
		split = split.Add(f.split(end))
		r.Requests += f.tally.requests
		r.Unserved += f.queue.len()
		r.ColdStarts += f.begun
		inTime, decisions, cold = inTime+f.tally.inTime, decisions+f.tally.decisions, cold+f.tally.coldRequests
		if f.tally.requests > 0 {
			rates = append(rates, float64(f.tally.coldRequests)/float64(f.tally.requests))
		}
	}
	r.Useful, r.Cold, r.Idle, r.GPUSeconds = split.Useful, split.Cold, split.Idle, split.Total()
	r.CostUSD = r.GPUSeconds / 3600 * w.config.Price
	r.Wait = w.waits.quantiles()
	r.ColdRate, r.Attainment = share(cold, r.Requests), share(inTime, r.Requests)
	r.ColdP75 = percentile(rates, 0.75)
	if r.Seconds > 0 {
		r.Decisions = float64(decisions) / (r.Seconds / 3600)
	}
	return r
}

// FunctionResult is what one function came to under a policy.
type FunctionResult struct {
	Function     string
	Requests     int
	ColdRequests int // that found no ready replica
	InTime       int // whose wait was within the objective's
	ColdStarts   int // replicas started
	GPUSeconds   float64
}

// ByFunction says what each function has come to so far, by first arrival.
func (w *World) ByFunction() []FunctionResult {
	out := make([]FunctionResult, 0, len(w.functions))
	for _, f := range w.functions {
		out = append(out, FunctionResult{
			GPUSeconds: f.split(w.now).Total(),
			Function:   f.name, Requests: f.tally.requests, ColdRequests: f.tally.coldRequests, InTime: f.tally.inTime, ColdStarts: f.begun,
		})
	}
	return out
}

func share(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

// percentile is the nearest-rank percentile; it sorts values.
func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[max(0, int(math.Ceil(p*float64(len(values))))-1)]
}
