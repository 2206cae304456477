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

// maxRepeat bounds --repeat: a year of days.
const maxRepeat = 366

// jobFlags are those of `stoker simulate` that are about training jobs, alone or beside requests.
type jobFlags struct {
	file     string
	gpus     int
	overhead float64 // seconds
	loans    string
	drain    float64 // seconds
	repeat   int
}

func (o *jobFlags) register(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.file, "jobs", "", "CSV file of training jobs, gzipped or not; instead of requests, or beside those of --trace on the same GPUs")
	f.IntVar(&o.gpus, "gpus", 0, "with --jobs: GPUs of the pool; beside --trace those of the fleet, of which inference is guaranteed the profile's pool")
	f.Float64Var(&o.overhead, "overhead", 0, "with --jobs: seconds on its GPUs that one preemption costs a job")
	f.StringVar(&o.loans, "loans", "both", "with --jobs and --trace: may jobs borrow what inference leaves idle: on, off, or both to compare")
	f.Float64Var(&o.drain, "drain", 30, "with --jobs and --trace: seconds from telling a job to go until its GPUs are free")
	f.IntVar(&o.repeat, "repeat", 1, "with --jobs and --trace: how often the requests come, each time whole days later")
	for _, name := range []string{"manifest", "timeline", "html", "record-from"} {
		c.MarkFlagsMutuallyExclusive("jobs", name)
	}
}

// alone refuses flags that say something about jobs where none are simulated.
func (o *jobFlags) alone(c *cobra.Command) error {
	for _, name := range []string{"gpus", "overhead", "loans", "drain", "repeat"} {
		if c.Flags().Changed(name) {
			return fmt.Errorf("--%s: only with --jobs; a trace of requests has its pool in the profile", name)
		}
	}
	return nil
}

// without refuses flags that are about requests beside jobs where there are none, and the other way round.
func (o *jobFlags) without(c *cobra.Command, mixed bool) error {
	names, missing := []string{"profile", "seed", "loans", "drain", "repeat"}, "only with --trace, for requests beside the jobs"
	if mixed {
		names, missing = []string{"policy", "baselines"}, "not with --jobs and --trace: both sides are planned by stoker; leave it out"
	}
	for _, name := range names {
		if c.Flags().Changed(name) {
			return fmt.Errorf("--%s: %s", name, missing)
		}
	}
	return nil
}

// runs are whether jobs may borrow, for each run.
func (o *jobFlags) runs() ([]bool, error) {
	switch o.loans {
	case "off":
		return []bool{false}, nil
	case "on":
		return []bool{true}, nil
	case "both":
		return []bool{false, true}, nil
	}
	return nil, fmt.Errorf("--loans %q: on, off or both", o.loans)
}

// seconds are those of a flag.
func seconds(name string, value float64) (time.Duration, error) {
	if math.IsNaN(value) || value < 0 || value > maxOverhead {
		return 0, fmt.Errorf("--%s %g: seconds, from 0 to %d", name, value, maxOverhead)
	}
	return time.Duration(math.Round(value * float64(time.Second))), nil
}

// mixedOptions are what is simulated of jobs and requests, of flags that are checked here.
func (o simulateFlags) mixedOptions() (opts simulate.MixedOptions, err error) {
	opts = simulate.MixedOptions{Trace: o.trace.file, Jobs: o.jobs.file, GPUs: o.jobs.gpus, Repeat: o.jobs.repeat, Seed: o.seed}
	var errs [3]error
	opts.Overhead, errs[0] = seconds("overhead", o.jobs.overhead)
	opts.Drain, errs[1] = seconds("drain", o.jobs.drain)
	opts.Loans, errs[2] = o.jobs.runs()
	switch {
	case o.jobs.file == "" || o.trace.file == "":
		err = errors.New("--jobs, --trace: name a CSV file of training jobs and one of requests")
	case o.profile == "":
		err = errors.New("--profile: name a YAML file whose pool is the number of GPUs that inference is guaranteed")
	case o.jobs.repeat < 1 || o.jobs.repeat > maxRepeat:
		err = fmt.Errorf("--repeat %d: from 1 to %d", o.jobs.repeat, maxRepeat)
	}
	return opts, errors.Join(append(errs[:], err)...)
}

// simulateMixed runs jobs and requests on one fleet.
func (a *app) simulateMixed(c *cobra.Command, o simulateFlags) error {
	opts, err := o.mixedOptions()
	if err := errors.Join(o.jobs.without(c, true), err); err != nil {
		return usageError{err}
	}
	if opts.Profile, err = simulate.ReadProfile(o.profile, opts.Trace); err != nil {
		return err
	}
	results, err := simulate.RunMixed(c.Context(), opts)
	if err != nil {
		return err
	}
	if o.asJSON {
		return a.indented(results)
	}
	return simulate.MixedTable(terminal.Safe(a.out), results)
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
	}
	var err error
	if opts.Overhead, err = seconds("overhead", o.jobs.overhead); err != nil {
		return opts, err
	}
	return opts, each(opts.Policies, simulate.CheckJobPolicy)
}

func (a *app) simulateJobs(c *cobra.Command, o simulateFlags) error {
	opts, err := o.jobOptions()
	if err := errors.Join(o.jobs.without(c, false), err); err != nil {
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
