package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/bench"
)

func (a *app) benchScaleCommand(b *benchFlags) *cobra.Command {
	o := bench.ScaleOptions{Version: version(), Progress: a.err}
	c := &cobra.Command{
		Use:   "scale",
		Short: "Change capacity: one function to many replicas and back, many functions at once",
		Long: `Start and stop replicas on simulated GPUs or as Pods, from this process. One function goes from one replica to
--replicas and back, by order; at its full size it takes two rounds of requests, of which one
has ten times as many: nothing may grow with them. Then --functions functions go from zero to
--each replicas by demand, and back once their requests are answered. Times run from the order,
or from a function's first request, to the entry of the provider's start or stop call; ALL-MS is
until the last of these calls had done its work, DONE-MS until nothing is left to do. With
--provider kubernetes the report also has when the API server had confirmed the Pods, and when
all ran.
` + standInNote,
		Example: "  stoker bench scale\n  stoker bench scale --replicas 8 --functions 10 --each 2 --requests 100 --json\n" +
			"  stoker bench scale --provider kubernetes --replicas 0 --each 5",
		Args: exactly(0, "none"),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := oneOf("--provider", o.Provider, "simulated", "kubernetes"); err != nil {
				return err
			}
			if o.Replicas < 0 || o.Replicas == 1 || o.Functions < 0 || o.Each < 1 || o.Load.Requests < 0 || o.Load.Round <= 0 {
				return usageError{errors.New("--replicas: want 2 or more, or 0; --each: 1 or more; --functions and --requests: 0 or more; --round: more than 0s")}
			}
			o.Config = a.config
			return measure(b, func() (bench.ScaleReport, error) { return bench.Scale(c.Context(), o) }, tellScale)
		},
	}
	f := c.Flags()
	f.IntVar(&o.Replicas, "replicas", 64, "replicas of one function; 0: no such function")
	f.IntVar(&o.Functions, "functions", 200, "functions that change at once; 0: none")
	f.IntVar(&o.Each, "each", 3, "replicas of each of them")
	f.IntVar(&o.Load.Requests, "requests", 200, "requests of the small round on the one function; 0: no such rounds")
	f.DurationVar(&o.Load.Round, "round", 10*time.Second, "length of each of those rounds")
	f.Uint64Var(&o.Seed, "seed", 1, "seed of the simulated world")
	f.StringVar(&o.Provider, "provider", "simulated", "where replicas run: simulated; kubernetes, as Pods")
	a.kubeconfigFlag(c)
	return c
}

func tellScale(w io.Writer, r bench.ScaleReport) error {
	fmt.Fprintf(w, "load %s; the decider alone: %.0f decisions/s for 64 replicas\n", r.LoadAverage, r.DecidePerSec)
	row := func(name string, s bench.StepReport) []string {
		return []string{
			name, strconv.Itoa(s.Changes), millis(s.Replicas.P50), millis(s.Replicas.P99), millis(s.AllMS), millis(s.DoneMS),
			strconv.Itoa(s.Decisions), fmt.Sprintf("%.0f", s.DecisionsPerSec), fmt.Sprintf("%.0f", s.EvaluationsPerSec), strconv.Itoa(s.LedgerWrites), strconv.Itoa(s.LedgerConflicts),
			fmt.Sprintf("%.1f", s.EventsPerChange),
		}
	}
	var rows [][]string
	if n := strconv.Itoa(r.One.Replicas); r.One.Replicas > 0 {
		rows = append(rows, row("1 -> "+n, r.One.Out), row(n+" -> 1", r.One.In))
	}
	if r.Many.Functions > 0 {
		many := fmt.Sprintf("%d x ", r.Many.Functions)
		each := strconv.Itoa(r.Many.Each)
		rows = append(rows, row(many+"0 -> "+each, r.Many.Out), row(many+each+" -> 0", r.Many.In))
	}
	err := table(w, "STEP CHANGES P50-MS P99-MS ALL-MS DONE-MS DECISIONS DECISIONS/S EVALUATIONS/S LEDGER-WRITES CONFLICTS EVENTS/CHANGE", rows)
	if p := r.Many.Out.Pods; err == nil && p != nil {
		fmt.Fprintf(w, "%d Pods: all created after %s ms (directly: %s ms), all running after %s ms\n", p.Count, millis(p.AllCreatedMS), millis(r.Many.CreateFloor.Max), millis(p.AllRunningMS))
	}
	if err == nil && r.Many.Functions > 0 {
		m := r.Many.RSS
		fmt.Fprintf(w, "memory of this process: %s MB before, %s MB with all replicas, %s MB after\n", millis(m.Before), millis(m.Running), millis(m.After))
		fmt.Fprintf(w, "of %d requests %d were answered and %d have no record\n", r.Many.Requests, r.Many.Answered, r.Many.Lost)
	}
	if err != nil || r.Load == nil {
		return err
	}
	return tellLoad(w, *r.Load)
}

func millis(x float64) string { return fmt.Sprintf("%.1f", x) }
