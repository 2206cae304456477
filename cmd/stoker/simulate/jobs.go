package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"stoker.dev/stoker/scale/jobs"
	jobsim "stoker.dev/stoker/scale/jobs/simulate"
)

// JobOptions are what is simulated of jobs.
type JobOptions struct {
	Jobs     string // a file
	GPUs     int
	Overhead time.Duration // time on its GPUs that a preemption costs a job
	Policies []string      // names, in the order of the results
}

// JobPolicies are the policies jobs can be simulated with.
func JobPolicies() []string { return jobsim.Names() }

// RunJobs simulates the jobs of a file under each policy, and first in the order of submission,
// by which waits are measured. Errors are ctx's, match ErrTrace, or are the simulation's.
func RunJobs(ctx context.Context, o JobOptions) ([]jobsim.Result, error) {
	f, err := os.Open(o.Jobs)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTrace, err)
	}
	defer func() { _ = f.Close() }()
	trace, err := ReadJobs(o.Jobs, f, o.GPUs)
	if err != nil {
		return nil, err
	}
	config := jobsim.Config{GPUs: o.GPUs, Overhead: o.Overhead, Policy: "fifo", Stop: func() bool { return ctx.Err() != nil }}
	fair, err := jobsim.Run(config, trace)
	results := []jobsim.Result{}
	for i := 0; err == nil && i < len(o.Policies); i++ {
		config.Policy = o.Policies[i]
		var out []jobsim.Outcome
		if out, err = jobsim.Run(config, trace); err == nil {
			results = append(results, jobsim.Summary(config, out, fair))
		}
	}
	switch {
	case errors.Is(err, jobsim.ErrStopped):
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("%s: %w", o.Jobs, err)
	}
	return results, nil
}

// CheckJobPolicy tells whether a policy exists. The error is jobs.ErrPolicy.
func CheckJobPolicy(name string) error {
	for _, n := range JobPolicies() {
		if n == name {
			return nil
		}
	}
	return fmt.Errorf("%w: %q; allowed with --jobs: %s", jobs.ErrPolicy, name, strings.Join(JobPolicies(), ", "))
}

// JobTable writes results for people.
func JobTable(w io.Writer, results []jobsim.Result) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "POLICY\tMEAN-JCT\tP50\tP99\tMEAN-WAIT\tWAIT-P99\tWAIT-MAX\tFAIR-WAIT\tMAKESPAN\tUTILISATION\tPREEMPTIONS\tGPU-S-LOST\t")
	for _, r := range results {
		fmt.Fprintf(tw, "%s\t%.2fs\t%.0fs\t%.0fs\t%.2fs\t%.0fs\t%.0fs\t%s\t%.0fs\t%s\t%d\t%.0f\t\n", r.Policy, r.MeanJCT, r.P50, r.P99,
			r.MeanWait, r.WaitP99, r.WaitMax, percent(r.InBound), r.Makespan, percent(r.Utilisation), r.Preemptions, r.Lost)
	}
	return tw.Flush()
}
