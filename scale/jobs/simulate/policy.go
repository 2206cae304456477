package simulate

import (
	"fmt"
	"strings"
	"time"

	"stoker.dev/stoker/scale/jobs"
)

// The policies that know how long jobs run.
const (
	NameSRTF = "srtf"
	NameSRGT = "srgt"
)

// Names are all policies, stoker first.
func Names() []string {
	var names []string
	for _, p := range jobs.Policies() {
		names = append(names, p.Name)
	}
	return append(names, NameSRTF, NameSRGT)
}

// policy finds a policy by its name. The error is jobs.ErrPolicy.
func (w *World) policy(name string) (func(jobs.Snapshot) jobs.Plan, error) {
	switch name {
	case NameSRTF:
		return func(s jobs.Snapshot) jobs.Plan {
			return jobs.Ranked(s, func(i int) float64 { return w.remaining(i).Seconds() })
		}, nil
	case NameSRGT:
		return func(s jobs.Snapshot) jobs.Plan {
			return jobs.Ranked(s, func(i int) float64 { return w.remaining(i).Seconds() * float64(s.Jobs[i].GPUs) })
		}, nil
	}
	p, err := jobs.Named(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %q; allowed: %s", jobs.ErrPolicy, name, strings.Join(Names(), ", "))
	}
	return func(s jobs.Snapshot) jobs.Plan { return p.Plan(&w.history, s) }, nil
}

// remaining is how long a job will still run.
func (w *World) remaining(i int) time.Duration {
	return w.left[i] - w.snapshot.Jobs[i].Ran(w.snapshot.Now)
}
