package simulate

import (
	"slices"
	"time"
)

// Result is what a policy came to. Times are seconds.
type Result struct {
	Policy      string  `json:"policy"`
	Jobs        int     `json:"jobs"`
	MeanJCT     float64 `json:"mean_jct_s"`
	P50         float64 `json:"p50"` // of the job completion times
	P99         float64 `json:"p99"`
	MeanWait    float64 `json:"mean_wait_s"`
	WaitP99     float64 `json:"wait_p99_s"`
	WaitMax     float64 `json:"wait_max_s"`
	InBound     float64 `json:"in_wait_bound"` // share of jobs that waited no longer than [WaitBound]
	Makespan    float64 `json:"makespan_s"`
	Utilisation float64 `json:"utilisation"`
	Preemptions int     `json:"preemptions"`
	Lost        float64 `json:"gpu_seconds_lost"`
}

// WaitBound is the longest wait that is fair to a job: an hour, or twice as long as it would have
// waited had all jobs been taken in the order of their submission, if that is longer.
func WaitBound(fifo time.Duration) time.Duration { return max(time.Hour, 2*fifo) }

// Summary counts the outcomes of a run. Fair are those of fifo with the same GPUs, for the waits
// that jobs are measured by.
func Summary(c Config, outcomes, fair []Outcome) Result {
	r := Result{Policy: c.Policy, Jobs: len(outcomes)}
	if r.Jobs == 0 {
		return r
	}
	bound := make(map[string]time.Duration, len(fair))
	for _, o := range fair {
		bound[o.ID] = WaitBound(o.Wait)
	}
	var jcts, waits []float64
	begin, end, held, kept := outcomes[0].At, time.Duration(0), 0.0, 0
	for _, o := range outcomes {
		jcts, waits = append(jcts, o.JCT().Seconds()), append(waits, o.Wait.Seconds())
		begin, end = min(begin, o.At), max(end, o.End)
		held += float64(o.GPUs) * (o.JCT() - o.Wait).Seconds()
		r.Preemptions += o.Preemptions
		r.Lost += float64(o.GPUs*o.Preemptions) * (c.Overhead + c.Drain).Seconds()
		if o.Wait <= bound[o.ID] {
			kept++
		}
	}
	r.MeanJCT, r.MeanWait = mean(jcts), mean(waits)
	slices.Sort(jcts)
	slices.Sort(waits)
	r.P50, r.P99 = quantile(jcts, 0.5), quantile(jcts, 0.99)
	r.WaitP99, r.WaitMax = quantile(waits, 0.99), waits[len(waits)-1]
	r.InBound = float64(kept) / float64(r.Jobs)
	if r.Makespan = (end - begin).Seconds(); r.Makespan > 0 {
		r.Utilisation = held / r.Makespan / float64(c.GPUs)
	}
	return r
}

func mean(xs []float64) float64 {
	sum := 0.0
	for _, x := range xs {
		sum += x
	}
	return sum / float64(len(xs))
}

// quantile of sorted values: the least that no less than a share q of them exceeds not.
func quantile(sorted []float64, q float64) float64 {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
