package bench

import (
	"os"
	"slices"
	"strings"
	"time"
)

// Quantiles of a set of times, in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// quantiles are the nearest ranks: values that were measured, none between them.
func quantiles(ds []time.Duration) Quantiles {
	if len(ds) == 0 {
		return Quantiles{}
	}
	s := slices.Sorted(slices.Values(ds))
	rank := func(p float64) float64 {
		i := min(int(p*float64(len(s))), len(s)-1)
		return float64(s[i]) / float64(time.Millisecond)
	}
	return Quantiles{P50: rank(0.50), P99: rank(0.99), Max: rank(1)}
}

// spread is the same of samples that are no times.
func spread(xs []float64) Spread {
	if len(xs) == 0 {
		return Spread{}
	}
	s := slices.Sorted(slices.Values(xs))
	rank := func(p float64) float64 { return s[min(int(p*float64(len(s))), len(s)-1)] }
	return Spread{P50: rank(0.50), P99: rank(0.99), Max: rank(1)}
}

// loadAverage is the kernel's, as it prints it; empty where there is none.
func loadAverage() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(string(data))[:3], " ")
}
