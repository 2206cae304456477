package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"stoker.dev/stoker/scale/jobs/mixed"
	jobsim "stoker.dev/stoker/scale/jobs/simulate"
	"stoker.dev/stoker/scale/simulate"
)

// MixedOptions are what is simulated of requests and jobs on one fleet.
type MixedOptions struct {
	Trace    string // a file of requests
	Profile  Profile
	Jobs     string        // a file
	GPUs     int           // of the fleet; inference is guaranteed the profile's pool, jobs have the others
	Overhead time.Duration // time on its GPUs that a preemption costs a job, beside draining
	Drain    time.Duration // from notice or recall until GPUs are free
	Loans    []bool        // runs: without loans, with them
	Repeat   int           // how often the requests come, each time whole days later
	Seed     uint64
}

// CheckMixed tells whether the GPUs suffice for both sides. The error matches jobsim.ErrJobs.
func CheckMixed(o MixedOptions) error {
	if o.Profile.Pool < 1 || o.Profile.Pool >= o.GPUs {
		return fmt.Errorf("%w: the profile's pool, which inference is guaranteed, is %d GPUs; want at least 1, and fewer than the %d of --gpus, "+
			"of which jobs have the others", jobsim.ErrJobs, o.Profile.Pool, o.GPUs)
	}
	return nil
}

// RunMixed simulates both sides together, once for each of o.Loans. Errors are ctx's, match ErrTrace,
// or are the simulation's.
func RunMixed(ctx context.Context, o MixedOptions) ([]mixed.Result, error) {
	if err := CheckMixed(o); err != nil {
		return nil, err
	}
	f, err := os.Open(o.Jobs)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTrace, err)
	}
	defer func() { _ = f.Close() }()
	trace, err := ReadJobs(o.Jobs, f, o.GPUs-o.Profile.Pool)
	if err != nil {
		return nil, err
	}
	if err := jobsim.Check(jobsim.Config{GPUs: o.GPUs - o.Profile.Pool}, trace); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Jobs, err)
	}
	results := []mixed.Result{}
	for _, loans := range o.Loans {
		r, err := o.run(ctx, trace, loans)
		if errors.Is(err, jobsim.ErrStopped) || errors.Is(err, errCut) {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	return results, nil
}

// run simulates once.
func (o MixedOptions) run(ctx context.Context, trace []jobsim.Submission, loans bool) (mixed.Result, error) {
	w, err := mixed.New(mixed.Config{
		Requests: simulate.Config{
			Family: simulate.Stoker(), Settings: o.Profile.Settings, Seed: o.Seed, Pool: o.Profile.Pool, Price: o.Profile.Price,
		},
		Jobs: jobsim.Config{
			GPUs: o.GPUs - o.Profile.Pool, Overhead: o.Overhead, Drain: o.Drain, Borrow: loans, Policy: "stoker",
			Stop: func() bool { return ctx.Err() != nil },
		},
		Trace: trace,
	})
	if err != nil {
		return mixed.Result{}, err
	}
	r := run{Options: Options{Trace: o.Trace, Profile: o.Profile}}
	shift, last := time.Duration(0), time.Duration(0)
	for range max(1, o.Repeat) {
		err := r.pass(ctx, "simulate", func(as []simulate.Arrival) error {
			for _, a := range as {
				a.At += shift
				last = a.At
				if err := w.Arrive(a); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return mixed.Result{}, err
		}
		const day = 24 * time.Hour
		shift = last - last%day + day
	}
	return w.Finish()
}

// MixedTable writes results for people.
func MixedTable(w io.Writer, results []mixed.Result) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "LOANS\tREQUESTS\tATTAINMENT\tWAIT-P99\tGPU-S\tJOBS\tMEAN-JCT\tMEAN-WAIT\tWAIT-P99\tPREEMPTIONS\tGPU-S-LOST\tLOANS\tRECALLS\tGPU-S-LENT\t")
	for _, r := range results {
		on := map[bool]string{true: "on", false: "off"}[r.Loans]
		fmt.Fprintf(tw, "%s\t%d\t%s\t%.0fms\t%.0f\t%d\t%.2fs\t%.2fs\t%.0fs\t%d\t%.0f\t%d\t%d\t%.0f\t\n", on, r.Requests.Requests, percent(r.Requests.Attainment),
			r.Requests.Wait.P99, r.Requests.GPUSeconds, r.Jobs.Jobs, r.Jobs.MeanJCT, r.Jobs.MeanWait, r.Jobs.WaitP99, r.Jobs.Preemptions, r.Jobs.Lost,
			r.Lent.Loans, r.Lent.Recalls, r.Lent.GPUSeconds)
	}
	return tw.Flush()
}
