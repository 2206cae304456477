package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/bench"
	"stoker.dev/stoker/cmd/stoker/profile"
)

func (a *app) benchCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure the platform on this machine",
		Long:  "Measure the platform on this machine, in a temporary directory and with the embedded servers.",
	}
	b := &benchFlags{out: a.out}
	f := c.PersistentFlags()
	f.BoolVar(&b.asJSON, "json", false, "print one JSON object")
	f.StringVar(&b.files.CPU, "cpuprofile", "", "write a CPU profile of the measurement to this file")
	f.StringVar(&b.files.Mem, "memprofile", "", "write a memory profile of the measurement to this file")
	c.AddCommand(a.benchZeroCommand(b), a.benchPathCommand(b), a.benchIdleCommand(b), a.benchScaleCommand(b), a.benchJobsCommand(b), a.benchPartCommand())
	return c
}

// benchFlags are what all benchmarks share.
type benchFlags struct {
	out    io.Writer
	asJSON bool
	files  profile.Files
}

// measure runs a benchmark, profiled if asked for, and tells its report.
func measure[R any](b *benchFlags, run func() (R, error), tell func(io.Writer, R) error) error {
	var rep R
	err := b.files.Around(func() (err error) { rep, err = run(); return err })
	if err != nil {
		return err
	}
	if b.asJSON {
		return json.NewEncoder(b.out).Encode(rep)
	}
	return tell(b.out, rep)
}

func (a *app) benchZeroCommand(b *benchFlags) *cobra.Command {
	o := bench.ZeroOptions{Version: version(), Progress: a.err}
	var atOnce, random bool
	c := &cobra.Command{
		Use:   "zero",
		Short: "Wake functions from zero: event to start, event to answer, beside the floor of an empty Update",
		Long: `Deploy functions on simulated GPUs, leave them at zero, publish one event to each, let them go
again, until there are enough wakes. event_to_start runs from just before the publish call to
the entry of the provider's start call; update_floor is an empty Update -> activity on the same
server in the same run. With --provider local each wake starts an agent and a model server as
processes of this machine, and event_to_answer is the answer of that server. With --provider
kubernetes it creates a Pod: event_to_pod runs to the return of the API server's create call,
and create_floor is the same Pod created directly by the same client, in the same run.
` + standInNote,
		Example: "  stoker bench zero --functions 1\n  stoker bench zero --functions 100 --at-once --json\n  stoker bench zero --provider local --wakes 50\n" +
			"  stoker bench zero --provider kubernetes --kubeconfig ~/.kube/config",
		Args: exactly(0, "none"),
		RunE: func(c *cobra.Command, _ []string) error {
			if atOnce && random {
				return usageError{errors.New("--at-once and --random: give one of them")}
			}
			if o.Functions < 1 || o.Wakes < 1 {
				return usageError{errors.New("--functions and --wakes: want 1 or more")}
			}
			if err := oneOf("--provider", o.Provider, "simulated", "local", "kubernetes"); err != nil {
				return err
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			o.AtOnce, o.Config, o.Self = atOnce, a.config, self
			return measure(b, func() (bench.ZeroReport, error) { return bench.Zero(c.Context(), o) }, tellZero)
		},
	}
	f := c.Flags()
	f.IntVar(&o.Functions, "functions", 1, "functions at zero")
	f.IntVar(&o.Wakes, "wakes", 300, "at least so many wakes")
	f.BoolVar(&atOnce, "at-once", false, "wake all functions in one moment")
	f.BoolVar(&random, "random", false, "wake one function at a time, at random moments (default)")
	f.StringVar(&o.Provider, "provider", "simulated", "where replicas run: simulated; local, as real processes; kubernetes, as Pods")
	a.kubeconfigFlag(c)
	f.Uint64Var(&o.Seed, "seed", 1, "seed of the moments")
	return c
}

// standInNote says what a benchmark on Kubernetes needs.
const standInNote = `The nodes must be simulated, as those of ` + "`go tool task cluster`" + ` are: what runs in their Pods is
played by this process, and as GPUs are given out by the cluster, there must be enough.`

// kubeconfigFlag says which cluster.
func (a *app) kubeconfigFlag(c *cobra.Command) {
	c.Flags().StringVar(&a.config.Kubeconfig, "kubeconfig", a.config.Kubeconfig, "with --provider kubernetes, the file that says which cluster [$STOKER_KUBECONFIG, $KUBECONFIG]")
}

// oneOf refuses a value that is not allowed.
func oneOf(flag, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return usageError{fmt.Errorf("%s %q: allowed: %s", flag, value, strings.Join(allowed, ", "))}
}

func tellZero(w io.Writer, r bench.ZeroReport) error {
	row := func(name string, q bench.Quantiles) []string {
		return []string{name, fmt.Sprintf("%.2f", q.P50), fmt.Sprintf("%.2f", q.P99), fmt.Sprintf("%.2f", q.Max)}
	}
	fmt.Fprintf(w, "%d functions, %s: %d wakes, %d answered, %d lost, load %s\n", r.Functions, r.At, r.Wakes, r.Answered, r.Lost, r.LoadAverage)
	rows := [][]string{
		row("event-to-start", r.EventToStart), row("event-to-answer", r.EventToAnswer), row("update-floor", r.UpdateFloor),
	}
	if r.Provider == "kubernetes" {
		rows = append(rows, row("event-to-pod", r.EventToPod), row("create-floor", r.CreateFloor))
	}
	return table(w, "MS P50 P99 MAX", rows)
}
