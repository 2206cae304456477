package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/simulate"
	"stoker.dev/stoker/cmd/stoker/simulate/page"
	"stoker.dev/stoker/cmd/stoker/terminal"
	policies "stoker.dev/stoker/scale/simulate"
)

// simulateFlags are those of `stoker simulate`.
type simulateFlags struct {
	trace             traceFlags
	manifest, profile string
	policies          []string
	baselines, asJSON bool
	timeline, page    string
	seed              uint64
	jobs              jobFlags
}

func (a *app) simulateCommand() *cobra.Command {
	var o simulateFlags
	c := &cobra.Command{
		Use:   "simulate",
		Short: "Replay a trace through the scaling policy and others, and say what each would have cost",
		Long: `Replay a trace of requests through the very decisions of production, beside the policies others
ship, and tell for each: GPU-seconds (useful, cold, idle), cost, cold starts, waits, and how far
it is from always-on replicas for the busiest moment (peak), from the fewest always-on replicas
that meet the objective (fixed), and from a bound that nobody can be below (oracle). It needs no
platform. The same trace, profile and seed give the same figures.

A trace is CSV, gzipped or not: arrival_s,input_tokens,output_tokens[,model,exec_s,…], or one of
Azure's public LLM traces. With --record-from it is what the platform recorded: arrival and
service time of each request of which it still has the terminal record. The profile says what the
trace does not: slots per replica, service and cold-start times, price and objective;
deploy/profiles has examples.`,
		Example: "  stoker simulate --trace trace.csv.gz --profile profile.yaml --baselines\n" +
			"  stoker simulate --trace trace.csv --policy stoker --policy timer-45s --json\n" +
			"  stoker simulate --trace trace.csv --manifest function.yaml --timeline out.csv\n" +
			"  stoker simulate --record-from --since 24h --manifest function.yaml --baselines\n" +
			"  stoker simulate --jobs jobs.csv.gz --gpus 640 --overhead 30 --baselines\n" +
			"  stoker simulate --jobs jobs.csv.gz --trace trace.csv.gz --profile profile.yaml --gpus 704 --overhead 30",
		Args: exactly(0, "none"),
		RunE: func(c *cobra.Command, _ []string) error {
			switch jobs, requests := c.Flags().Changed("jobs"), c.Flags().Changed("trace"); {
			case jobs && requests:
				return a.simulateMixed(c, o)
			case jobs:
				return a.simulateJobs(c, o)
			}
			return a.simulate(c, o)
		},
	}
	f := c.Flags()
	o.trace.bind(c)
	f.StringVar(&o.profile, "profile", "", "YAML file with slots, service and cold-start times, price and objective")
	f.StringVarP(&o.manifest, "manifest", "f", "", "manifests with slots, bounds and objectives instead")
	f.StringArrayVar(&o.policies, "policy", nil, "policy to run, can be repeated: "+strings.Join(policies.Names(), ", ")+
		"; with --jobs "+strings.Join(simulate.JobPolicies(), ", ")+" (default stoker)")
	f.BoolVar(&o.baselines, "baselines", false, "stoker and every policy to compare with")
	f.BoolVar(&o.asJSON, "json", false, "print one JSON array with an object per policy")
	f.StringVar(&o.timeline, "timeline", "", "write what runs and waits to this CSV file; for further policies NAME.POLICY.csv beside it")
	f.StringVar(&o.page, "html", "", "draw it: write a page that stands alone to this HTML file")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the cold starts")
	c.MarkFlagsMutuallyExclusive("profile", "manifest")
	c.MarkFlagsMutuallyExclusive("policy", "baselines")
	o.jobs.register(c)
	return c
}

func (a *app) simulate(c *cobra.Command, o simulateFlags) error {
	names, err := o.names()
	if err := errors.Join(o.trace.check(a.now()), o.jobs.alone(c), err); err != nil {
		return usageError{err}
	}
	file, done, err := a.traceFile(c, o.trace)
	if err != nil {
		return err
	}
	defer done()
	opts := simulate.Options{Trace: file, Policies: names, Seed: o.seed, Profile: simulate.DefaultProfile()}
	switch {
	case o.manifest != "":
		opts.Profile, opts.Settings, err = simulate.ReadManifest(o.manifest)
	case o.profile != "":
		opts.Profile, err = simulate.ReadProfile(o.profile, file)
	default:
		opts.Profile, err = simulate.ParseProfile("default", nil)
	}
	if err != nil {
		return err
	}
	if opts.Settings == nil {
		opts.Settings = opts.Profile.Settings
	}
	drawing, err := page.Begin(o.page, &opts)
	if err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	wipe := a.showPasses(&opts)
	files := simulate.NewTimelines(o.timeline, names)
	opts.Timeline = both(files.Of, opts.Timeline)
	report, err := simulate.Run(c.Context(), opts)
	wipe()
	if err := errors.Join(err, files.Close(), drawing.End(report, err == nil)); err != nil {
		return err
	}
	for _, line := range report.Advice {
		fmt.Fprintln(terminal.Safe(a.err), "stoker:", line)
	}
	if err := a.tellSimulation(report, o.asJSON); err != nil {
		return err
	}
	if report.Cut {
		fmt.Fprintln(a.err, "stoker: interrupted; the figures are those of the trace until then")
		return c.Context().Err()
	}
	return nil
}

// both tells two what one of them asked for; either may be nil.
func both(a, b func(string) func(policies.Row)) func(string) func(policies.Row) {
	if b == nil {
		return a
	}
	return func(policy string) func(policies.Row) {
		first, second := a(policy), b(policy)
		if first == nil {
			return second
		}
		return func(r policies.Row) {
			first(r)
			second(r)
		}
	}
}

// names are the policies asked for, each once.
func (o simulateFlags) names() ([]string, error) {
	names := o.policies
	switch {
	case o.baselines:
		names = []string{"stoker"}
		for _, f := range policies.Baselines() {
			names = append(names, f.Name)
		}
		names = append(names, policies.Hindsight()...)
	case len(names) == 0:
		names = []string{"stoker"}
	}
	return names, each(names, func(n string) error {
		if slices.Contains(policies.Hindsight(), n) {
			return nil
		}
		_, err := policies.Named(n)
		return err
	})
}

// each checks the names of policies, which are given once each.
func each(names []string, check func(name string) error) error {
	for i, n := range names {
		if slices.Contains(names[:i], n) {
			return fmt.Errorf("--policy %s: given twice", n)
		}
		if err := check(n); err != nil {
			return fmt.Errorf("--policy: %w", err)
		}
	}
	return nil
}

// showPasses draws a bar while the trace is read, where somebody watches.
func (a *app) showPasses(o *simulate.Options) (done func()) {
	if !terminal.Is(a.err) {
		return func() {}
	}
	bar := progressbar.NewOptions64(1, progressbar.OptionSetWriter(a.err), progressbar.OptionSetWidth(30),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetDescription(filepath.Base(o.Trace)))
	o.Progress = func(pass string, read, of int64) {
		bar.Describe(pass)
		if of > 0 {
			bar.ChangeMax64(of + 1) // never full, or it would vanish between two passes
			_ = bar.Set64(min(read, of))
		}
	}
	return func() { _ = bar.Clear() }
}

func (a *app) tellSimulation(r simulate.Report, asJSON bool) error {
	if asJSON {
		if r.Results == nil {
			r.Results = []policies.Result{} // an array, not null
		}
		return a.indented(r.Results)
	}
	if len(r.Results) == 0 {
		return nil
	}
	return simulate.Table(terminal.Safe(a.out), r.Results)
}

// indented prints JSON for programs that people may read.
func (a *app) indented(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
