package main

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/simulate"
	"stoker.dev/stoker/cmd/stoker/terminal"
)

// maxOverhead bounds --overhead, seconds: a month.
const maxOverhead = 30 * 86400

// jobFlags are those of `stoker simulate` that are about training jobs.
type jobFlags struct {
	file     string
	gpus     int
	overhead float64 // seconds
}

func (o *jobFlags) register(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.file, "jobs", "", "CSV file of training jobs, gzipped or not, instead of requests")
	f.IntVar(&o.gpus, "gpus", 0, "with --jobs: GPUs of the pool")
	f.Float64Var(&o.overhead, "overhead", 0, "with --jobs: seconds on its GPUs that one preemption costs a job")
	for _, name := range []string{"trace", "profile", "manifest", "timeline", "html", "seed"} {
		c.MarkFlagsMutuallyExclusive("jobs", name)
	}
}

// alone refuses flags that say something about jobs where none are simulated.
func (o *jobFlags) alone(c *cobra.Command) error {
	for _, name := range []string{"gpus", "overhead"} {
		if c.Flags().Changed(name) {
			return fmt.Errorf("--%s: only with --jobs; a trace of requests has its pool in the profile", name)
		}
	}
	return nil
}

// jobOptions are what is simulated, of flags that are checked here.
func (o simulateFlags) jobOptions() (simulate.JobOptions, error) {
	opts := simulate.JobOptions{Jobs: o.jobs.file, GPUs: o.jobs.gpus, Policies: o.policies}
	switch {
	case o.baselines:
		opts.Policies = simulate.JobPolicies()
	case len(o.policies) == 0:
		opts.Policies = []string{"stoker"}
	}
	switch {
	case o.jobs.file == "":
		return opts, errors.New("--jobs: name a CSV file of training jobs")
	case o.jobs.gpus < 1:
		return opts, fmt.Errorf("--gpus %d: say how many GPUs the pool has, at least 1", o.jobs.gpus)
	case math.IsNaN(o.jobs.overhead) || o.jobs.overhead < 0 || o.jobs.overhead > maxOverhead:
		return opts, fmt.Errorf("--overhead %g: seconds, from 0 to %d", o.jobs.overhead, maxOverhead)
	}
	opts.Overhead = time.Duration(math.Round(o.jobs.overhead * float64(time.Second)))
	return opts, each(opts.Policies, simulate.CheckJobPolicy)
}

func (a *app) simulateJobs(c *cobra.Command, o simulateFlags) error {
	opts, err := o.jobOptions()
	if err != nil {
		return usageError{err}
	}
	results, err := simulate.RunJobs(c.Context(), opts)
	if err != nil {
		return err
	}
	if o.asJSON {
		return a.indented(results)
	}
	return simulate.JobTable(terminal.Safe(a.out), results)
}
