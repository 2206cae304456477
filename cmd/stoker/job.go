package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

func (a *app) jobCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "job",
		Short: "Submit training jobs, watch them, and steer them",
		Long: `Submit training jobs, watch them, and steer them.

A job is a gang of nodes that trains until it is done: it gets all its GPUs or none, saves its work
in checkpoints, and goes on from the newest one after it had to make room or a machine failed.
docs/training.md says what the program and the platform tell each other.`,
		Example: "  stoker job submit -f train.yaml\n  stoker job wait llama\n  stoker job explain llama",
	}
	c.AddCommand(a.jobSubmitCommand(), a.jobListCommand(), a.jobDescribeCommand(), a.jobExplainCommand(), a.jobLogsCommand(), a.jobWaitCommand(), a.jobQueuesCommand())
	for _, s := range steers {
		c.AddCommand(a.jobSteerCommand(s))
	}
	c.AddCommand(a.jobDeleteCommand())
	return c
}

func (a *app) jobSubmitCommand() *cobra.Command {
	var files []string
	var dryRun bool
	var out format
	c := &cobra.Command{
		Use:   "submit -f FILE",
		Short: "Submit training jobs from manifests",
		Long: `Submit the training jobs in manifests of kind TrainingJob, all of them or none.

FILE is YAML or JSON with one or more documents, a directory of such files, or - for standard
input. The same manifest of a job that goes on changes nothing; another one wants another name.`,
		Example: "  stoker job submit -f train.yaml\n  stoker job submit --dry-run -f sweep/",
		Args:    exactly(0, "none beside -f FILE"),
		RunE:    func(c *cobra.Command, _ []string) error { return a.submit(c, files, dryRun, out) },
	}
	c.Flags().StringArrayVarP(&files, "filename", "f", nil, "manifest file, directory, or - (may be repeated)")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "check and say what would happen, submit nothing")
	out.bind(c)
	return c
}

func (a *app) submit(c *cobra.Command, files []string, dryRun bool, out format) error {
	if len(files) == 0 {
		return usageError{errors.New("which manifest? give -f FILE, -f DIRECTORY or -f -")}
	}
	var sources []source
	var problems []error
	for _, f := range files {
		s, err := a.read(f)
		problems = append(problems, err)
		sources = append(sources, s...)
	}
	for _, s := range sources {
		_, err := functions.ParseJobs(s.name, s.data)
		problems = append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("nothing is submitted, correct this first:\n%w", err)
	}
	cl, _, err := a.client()
	if err != nil {
		return err
	}
	if len(sources) > 1 && !dryRun { // what only the platform can check, for all before the first
		if _, err := submitAll(c.Context(), cl, sources, true); err != nil {
			return err
		}
	}
	all, err := submitAll(c.Context(), cl, sources, dryRun)
	return errors.Join(out.print(a.out, all, func(w io.Writer) error { return saySubmitted(w, all, dryRun) }), err)
}

// submitAll returns what was done before an error too.
func submitAll(ctx context.Context, cl *api.Client, sources []source, dryRun bool) ([]api.Submitted, error) {
	all := []api.Submitted{}
	for _, s := range sources {
		done, err := cl.Submit(ctx, s.name, s.data, dryRun)
		if remote := (*api.Error)(nil); errors.As(err, &remote) && remote.Code == http.StatusUnprocessableEntity {
			err = fmt.Errorf("%s: %w", s.name, err) // a job the platform cannot run
		}
		all = append(all, done...)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

func saySubmitted(w io.Writer, all []api.Submitted, dryRun bool) error {
	for _, x := range all {
		switch {
		case dryRun && x.Action == "created":
			fmt.Fprintf(w, "job %s would be accepted\n", x.Key)
		case x.Action == "created":
			fmt.Fprintf(w, "job %s is accepted, ID %s, %s; `stoker job describe %s` shows how it is\n", x.Key, x.UID, standing(x), x.Key)
		default:
			fmt.Fprintf(w, "job %s is %s already, ID %s; nothing changed\n", x.Key, x.Phase, x.UID)
		}
		if x.Warning != "" {
			fmt.Fprintf(w, "  warning: %s\n", x.Warning)
		}
	}
	return nil
}

// standing is where a job that was just accepted is.
func standing(x api.Submitted) string {
	switch {
	case x.Position > 0:
		return fmt.Sprintf("number %d in its queue (`stoker job explain` says what it waits for)", x.Position)
	case x.Phase == job.Admitted:
		return "and gets its GPUs now"
	default:
		return string(x.Phase)
	}
}

// jobTarget is the job an argument names, and a client to ask about it.
func (a *app) jobTarget(arg string) (functions.Key, *api.Client, error) {
	k, cl, err := a.target(arg)
	if usage := (usageError{}); errors.As(err, &usage) {
		return k, cl, usageError{fmt.Errorf("%q names no job: want NAME or NAMESPACE/NAME, lower-case letters, digits and \"-\"", arg)}
	}
	return k, cl, err
}

// aJob fetches the job an argument names.
func (a *app) aJob(c *cobra.Command, arg string) (api.Job, error) {
	k, cl, err := a.jobTarget(arg)
	if err != nil {
		return api.Job{}, err
	}
	return cl.Job(c.Context(), k)
}

const oneJob = "the NAME of one job"

func (a *app) jobListCommand() *cobra.Command {
	var out format
	var all scope
	c := &cobra.Command{
		Use:     "list",
		Short:   "List training jobs, the newest first",
		Example: "  stoker job list\n  stoker job list --all-namespaces -o json",
		Args:    exactly(0, "none"),
		RunE: func(c *cobra.Command, _ []string) error {
			cl, _, err := a.client()
			if err != nil {
				return err
			}
			jobs, err := cl.Jobs(c.Context(), all.namespace(a))
			if err != nil {
				return err
			}
			return out.print(a.out, jobs, func(w io.Writer) error { return a.listJobs(w, jobs) })
		},
	}
	all.bind(c, "of every namespace")
	out.bind(c)
	return c
}

func (a *app) listJobs(w io.Writer, jobs []api.Job) error {
	if len(jobs) == 0 {
		fmt.Fprintln(a.err, "no jobs; `stoker job submit -f FILE` submits one")
		return nil
	}
	rows := make([][]string, len(jobs))
	for i, j := range jobs {
		rows[i] = []string{j.Key.String(), string(j.Phase), string(j.Cause), gangText(j), number(j.Attempt), progressText(j), age(j.Submitted, a.now())}
	}
	return table(w, "JOB PHASE CAUSE GPUS ATTEMPT PROGRESS SUBMITTED", rows)
}

func (a *app) jobLogsCommand() *cobra.Command {
	var follow bool
	var tail, rank int
	c := &cobra.Command{
		Use:     "logs NAME",
		Short:   "Print what a rank of the newest gang writes",
		Example: "  stoker job logs llama --tail 20\n  stoker job logs llama --rank 3 --follow",
		Args:    exactly(1, oneJob),
		RunE: func(c *cobra.Command, args []string) error {
			k, cl, err := a.jobTarget(args[0])
			if err != nil {
				return err
			}
			r, err := cl.JobLogs(c.Context(), k, rank, tail, follow)
			if err != nil {
				return err
			}
			return a.copyLogs(c.Context(), r)
		},
		ValidArgsFunction: a.completeJobs,
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on as more is written")
	c.Flags().IntVar(&tail, "tail", 200, "how many lines back; 0: all that is kept")
	c.Flags().IntVar(&rank, "rank", 0, "of this rank")
	return c
}

// steer is one verb that changes a job.
type steer struct {
	op                api.JobOp
	short, said, more string
}

var steers = []steer{
	{api.JobCancel, "End a job: it may save its work within its grace", "is being cancelled", ""},
	{api.JobPause, "Have a job save its work and give its GPUs back, until it is resumed", "is being paused", "; `stoker job resume` lets it go on"},
	{api.JobResume, "Let a paused job go on from its newest checkpoint", "goes on once it has GPUs", ""},
	{api.JobCheckpoint, "Ask a job that trains for a checkpoint now", "was asked for a checkpoint", "; `stoker events` tells when it is committed"},
}

func (a *app) jobSteerCommand(s steer) *cobra.Command {
	return &cobra.Command{
		Use:     string(s.op) + " NAME",
		Short:   s.short,
		Example: "  stoker job " + string(s.op) + " llama",
		Args:    exactly(1, oneJob),
		RunE: func(c *cobra.Command, args []string) error {
			k, cl, err := a.jobTarget(args[0])
			if err != nil {
				return err
			}
			if err := cl.Steer(c.Context(), k, s.op); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "job %s %s%s\n", k, s.said, s.more)
			return nil
		},
		ValidArgsFunction: a.completeJobs,
	}
}

func (a *app) jobDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "delete NAME",
		Short:   "Forget a job that is at its end, with the checkpoints that the platform keeps for it",
		Example: "  stoker job delete llama",
		Args:    exactly(1, oneJob),
		RunE: func(c *cobra.Command, args []string) error {
			k, cl, err := a.jobTarget(args[0])
			if err != nil {
				return err
			}
			if err := cl.RemoveJob(c.Context(), k); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "job %s is forgotten\n", k)
			return nil
		},
		ValidArgsFunction: a.completeJobs,
	}
}

// waitEvery is how often a job that is waited for is looked at.
const waitEvery = 250 * time.Millisecond

func (a *app) jobWaitCommand() *cobra.Command {
	var timeout time.Duration
	var until string
	var out format
	c := &cobra.Command{
		Use:   "wait NAME",
		Short: "Wait until a job is at its end, or in a phase",
		Long: `Wait until a job is at its end, or in a phase.

It exits with 0 if the job succeeded or came into the phase, with 5 if it ended otherwise, and with
1 if it did neither in time.`,
		Example: "  stoker job wait llama --timeout 2h\n  stoker job wait llama --for running",
		Args:    exactly(1, oneJob),
		RunE: func(c *cobra.Command, args []string) error {
			if until != "" && !slices.Contains(job.Phases(), job.Phase(until)) {
				return usageError{fmt.Errorf("--for %q: no such phase, allowed: %s", until, phaseNames())}
			}
			j, err := a.wait(c, args[0], job.Phase(until), timeout)
			if err != nil {
				return err
			}
			err = out.print(a.out, j, func(w io.Writer) error {
				fmt.Fprintf(w, "job %s is %s: %s\n", j.Key, j.Phase, ending(j))
				return nil
			})
			if err == nil && j.Phase.Terminal() && j.Phase != job.Succeeded && j.Phase != job.Phase(until) {
				err = noResult{fmt.Errorf("job %s did not succeed", j.Key)}
			}
			return err
		},
		ValidArgsFunction: a.completeJobs,
	}
	c.Flags().DurationVar(&timeout, "timeout", 0, "give up after this long (0: never)")
	c.Flags().StringVar(&until, "for", "", "wait for this phase, such as running, instead of the end")
	out.bind(c)
	return c
}

func phaseNames() string {
	var names []string
	for _, p := range job.Phases() {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}

// wait looks at a job until it is at its end or in a phase. A platform that is away for a moment is
// waited for.
func (a *app) wait(c *cobra.Command, arg string, until job.Phase, timeout time.Duration) (api.Job, error) {
	ctx := c.Context()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	tick := time.NewTicker(waitEvery)
	defer tick.Stop()
	var j api.Job
	for known := false; ; {
		now, err := a.aJob(c, arg)
		switch remote := (*api.Error)(nil); {
		case err == nil && (now.Phase.Terminal() || now.Phase == until):
			return now, nil
		case err == nil:
			j, known = now, true
		case !known || errors.As(err, &remote) && remote.Code < http.StatusInternalServerError:
			return now, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if c.Context().Err() != nil {
				return j, c.Context().Err()
			}
			return j, fmt.Errorf("job %s is %s after %s: %s", j.Key, j.Phase, timeout, ending(j))
		}
	}
}

func (a *app) completeJobs(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	cl, _, err := a.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	jobs, err := cl.Jobs(c.Context(), a.namespace)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, j := range jobs {
		names = append(names, j.Key.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
