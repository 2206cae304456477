package controller

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// maxShown bounds the functions that have series of their own: at some twenty series each,
// more would weigh on whoever scrapes. stoker_functions_without_series says how many are left
// out; `stoker get` lists all.
const maxShown = 1000

// Metrics count what the controller did; they only grow.
type Metrics struct {
	Evaluations, Decisions, Syncs, SyncErrors, Wakes, Beats, Dropped, Finished atomic.Uint64
}

// Collectors are the controller's metrics for Prometheus. Collecting takes what the loop
// published last and never waits for it.
func (c *Controller) Collectors() []prometheus.Collector {
	out := []prometheus.Collector{functionsCollector{c}, ledgerCollector{c}}
	m := &c.metrics
	for _, x := range []struct {
		name, help string
		n          *atomic.Uint64
	}{
		{"stoker_evaluations_total", "Times a function was looked at and decided about, whether that changed anything or not.", &m.Evaluations},
		{"stoker_decisions_total", "Decisions that changed a function's target, victims, reason or phase.", &m.Decisions},
		{"stoker_syncs_total", "Decisions and observations sent to function workflows.", &m.Syncs},
		{"stoker_sync_errors_total", "Updates of function workflows that failed; each is tried again.", &m.SyncErrors},
		{"stoker_wakes_total", "Requests pushed by the broker for functions without a ready replica.", &m.Wakes},
		{"stoker_heartbeats_total", "Heartbeats of agents taken in.", &m.Beats},
		{"stoker_inputs_dropped_total", "Wakes and heartbeats dropped because the controller was behind; the reconcile and the next heartbeat make up for them.", &m.Dropped},
		{"stoker_reaped_requests_total", "Requests the controller ended with a record because no agent would: expired at zero, beyond the queue's depth, failing or deleted.", &m.Finished},
	} {
		out = append(out, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: x.name, Help: x.help}, func() float64 { return float64(x.n.Load()) }))
	}
	return out
}

// shown is what metrics say of one function.
type shown struct {
	key                                       functions.Key
	target, ready, starting, draining, silent int
	waiting                                   map[functions.Class]int
	inFlight                                  int
	served, failed                            uint64
	split                                     api.Split
	coldSec                                   float64 // 0: none yet
}

// show publishes a function's numbers for the collectors. Totals are kept in key-value and
// outlive the process; counters begin with it, as Prometheus expects, or a total read back a
// little too low after a kill would count as a reset and be added once more.
func (c *Controller) show(f *function) {
	s := shown{
		key: f.key, target: f.stored.State.Last.Target, waiting: f.waiting(), inFlight: f.inFlight(),
		served: f.stored.Served, failed: f.stored.Failed, split: f.split(),
	}
	if f.stored.Cold != nil {
		s.coldSec = f.stored.Cold.TotalMS / 1000
	}
	now := c.Now()
	for _, r := range f.replicas {
		switch r.scalePhase(now) {
		case scale.Ready:
			s.ready++
		case scale.Starting:
			s.starting++
		case scale.Draining:
			s.draining++
		case scale.Silent:
			s.silent++
		case scale.Gone:
		}
	}
	before, again := c.shown.Load(f.key)
	if !again {
		f.base = s
		s.split, s.served, s.failed = api.Split{}, 0, 0
	} else {
		s.since(f.base, before.(shown))
	}
	c.shown.Store(f.key, s)
}

// since leaves of the totals what was added after base, never less than was shown before.
func (s *shown) since(base, before shown) {
	s.served = max(s.served-min(base.served, s.served), before.served)
	s.failed = max(s.failed-min(base.failed, s.failed), before.failed)
	grown := func(now, base, before float64) float64 { return max(now-base, before) }
	s.split = api.Split{
		Useful:   grown(s.split.Useful, base.split.Useful, before.split.Useful),
		Cold:     grown(s.split.Cold, base.split.Cold, before.split.Cold),
		Idle:     grown(s.split.Idle, base.split.Idle, before.split.Idle),
		Draining: grown(s.split.Draining, base.split.Draining, before.split.Draining),
		Unknown:  grown(s.split.Unknown, base.split.Unknown, before.split.Unknown),
	}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

func perFunction(name, help string, labels ...string) *prometheus.Desc {
	return desc(name, help, append([]string{"namespace", "function"}, labels...)...)
}

// What is told of each function.
var (
	descFunctions  = desc("stoker_functions", "Functions deployed.")
	descLeftOut    = desc("stoker_functions_without_series", "Functions deployed beyond the number that has series of its own.")
	descTarget     = perFunction("stoker_function_target_replicas", "Replicas wanted by the last decision.")
	descReplicas   = perFunction("stoker_function_replicas", "Replicas by phase: starting, ready, draining, silent.", "phase")
	descWaiting    = perFunction("stoker_function_waiting_requests", "Stored requests that wait for a slot, by class.", "class")
	descInFlight   = perFunction("stoker_function_in_flight_requests", "Requests that replicas work on.")
	descServed     = perFunction("stoker_function_served_requests_total", "Requests answered by replicas, since the platform's start.")
	descFailed     = perFunction("stoker_function_failed_attempts_total", "Attempts that failed, since the platform's start.")
	descGPUSeconds = perFunction("stoker_function_gpu_seconds_total", "GPU time by what it was spent on, since the platform's start: useful, cold, idle, draining, unknown.", "kind")
	descCold       = perFunction("stoker_function_last_cold_start_seconds", "Time from demand to ready in the last cold start.")
)

// functionsCollector tells what the loop published of each function.
type functionsCollector struct{ c *Controller }

func (x functionsCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descFunctions, descLeftOut, descTarget, descReplicas, descWaiting, descInFlight, descServed, descFailed, descGPUSeconds, descCold,
	} {
		ch <- d
	}
}

func (x functionsCollector) Collect(ch chan<- prometheus.Metric) {
	var all []shown
	x.c.shown.Range(func(_, v any) bool { all = append(all, v.(shown)); return true })
	slices.SortFunc(all, func(a, b shown) int { return strings.Compare(a.key.String(), b.key.String()) })
	ch <- gauge(descFunctions, len(all))
	ch <- gauge(descLeftOut, max(len(all)-maxShown, 0))
	for _, s := range all[:min(len(all), maxShown)] {
		s.collect(ch)
	}
}

func (s shown) collect(ch chan<- prometheus.Metric) {
	ns, fn := s.key.Namespace, s.key.Name
	ch <- gauge(descTarget, s.target, ns, fn)
	ch <- gauge(descReplicas, s.starting, ns, fn, "starting")
	ch <- gauge(descReplicas, s.ready, ns, fn, "ready")
	ch <- gauge(descReplicas, s.draining, ns, fn, "draining")
	ch <- gauge(descReplicas, s.silent, ns, fn, "silent")
	for _, c := range functions.Classes() {
		ch <- gauge(descWaiting, s.waiting[c], ns, fn, string(c))
	}
	ch <- gauge(descInFlight, s.inFlight, ns, fn)
	ch <- counter(descServed, float64(s.served), ns, fn)
	ch <- counter(descFailed, float64(s.failed), ns, fn)
	ch <- counter(descGPUSeconds, s.split.Useful, ns, fn, "useful")
	ch <- counter(descGPUSeconds, s.split.Cold, ns, fn, "cold")
	ch <- counter(descGPUSeconds, s.split.Idle, ns, fn, "idle")
	ch <- counter(descGPUSeconds, s.split.Draining, ns, fn, "draining")
	ch <- counter(descGPUSeconds, s.split.Unknown, ns, fn, "unknown")
	if s.coldSec > 0 {
		ch <- prometheus.MustNewConstMetric(descCold, prometheus.GaugeValue, s.coldSec, ns, fn)
	}
}

var descGPUs = desc("stoker_gpus", "GPUs by state: free; reserved, bound or draining by a lease; unknown, leased on a node out of reach; foreign, used by others; unusable.", "pool", "state")

// ledgerCollector tells who has the GPUs; the states add up to all there are.
type ledgerCollector struct{ c *Controller }

func (x ledgerCollector) Describe(ch chan<- *prometheus.Desc) { ch <- descGPUs }

func (x ledgerCollector) Collect(ch chan<- prometheus.Metric) {
	u, pool := x.c.Ledger.Snapshot().Usage(), x.c.Pool
	ch <- gauge(descGPUs, u.Free, pool, "free")
	ch <- gauge(descGPUs, u.Reserved, pool, "reserved")
	ch <- gauge(descGPUs, u.Bound, pool, "bound")
	ch <- gauge(descGPUs, u.Draining, pool, "draining")
	ch <- gauge(descGPUs, u.Unknown, pool, "unknown")
	ch <- gauge(descGPUs, u.Foreign, pool, "foreign")
	ch <- gauge(descGPUs, u.Unusable, pool, "unusable")
}

func gauge(d *prometheus.Desc, v int, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
}

func counter(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}
