package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/bench"
)

func (a *app) benchJobsCommand(b *benchFlags) *cobra.Command {
	o := bench.JobsOptions{Version: version(), Progress: a.err}
	c := &cobra.Command{
		Use:   "jobs",
		Short: "Training jobs: admissions, a large gang, loans given back, ranks killed",
		Long: `Submit many jobs of one rank together, on simulated GPUs: until the last has its workflow and its
lease, and until the provider's start call of the last one, beside as many empty workflows on the same server. Then one gang of many ranks: from
admitted until all have passed the barrier. Then, with processes of this machine, a job on a loan:
a request recalls it, from the notice until the GPU is released, beside the time of the program's
own checkpoint. And it is killed without warning: what is lost, and how long until it trains again.
ettr is computed from that, for a kill every 10 minutes and a checkpoint every 30 seconds.`,
		Example: "  stoker bench jobs\n  stoker bench jobs --admissions 20 --gang 16 --rounds 2 --kills 1 --json",
		Args:    exactly(0, "none"),
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if min(o.Admissions, o.Gang, o.Rounds, o.Kills) < 0 || o.Interval < time.Second {
				return usageError{errors.New("--admissions, --gang, --rounds and --kills: want 0 or more; --interval: 1s or more")}
			}
			if o.Self, err = os.Executable(); err != nil {
				return err
			}
			o.Config = a.config
			return measure(b, func() (bench.JobsReport, error) { return bench.Jobs(c.Context(), o) }, tellJobs)
		},
	}
	f := c.Flags()
	f.IntVar(&o.Admissions, "admissions", 500, "jobs of one rank that are submitted together; 0: none")
	f.IntVar(&o.Gang, "gang", 512, "ranks of the large gang; 0: none")
	f.IntVar(&o.Rounds, "rounds", 20, "loans that are recalled; 0: none")
	f.IntVar(&o.Kills, "kills", 5, "kills of the training program without warning; 0: none")
	f.DurationVar(&o.Interval, "interval", 2*time.Second, "between two checkpoints of the training program")
	return c
}

func tellJobs(w io.Writer, r bench.JobsReport) error {
	fmt.Fprintf(w, "%d jobs of one rank: %.0f admissions/s, %.0f starts/s, %.0f empty workflows/s; load %s\n", r.Admissions, r.AdmissionsPerSec, r.StartedPerSec, r.StartsPerSec, r.LoadAverage)
	fmt.Fprintf(w, "one gang of %d ranks: %.2f s from admitted to the barrier passed\n", r.GangRanks, r.GangSec)
	fmt.Fprintf(w, "%d kills: %.2f s of work lost at most, with a checkpoint every %.0f s of %.2f s; training again after %.2f s, at most %.2f s; ettr %.3f\n",
		r.Kills, r.LostWorkSec, r.IntervalSec, r.SaveSec, r.RestartSec.P50, r.RestartSec.Max, r.ETTR)
	row := func(name string, q bench.Quantiles) []string { return []string{name, ms(q.P50), ms(q.P99), ms(q.Max)} }
	return table(w, fmt.Sprintf("MS-OF-%d P50 P99 MAX", r.Rounds), [][]string{
		row("notice-to-released", r.GiveBack), row("notice-to-checkpoint", r.Checkpoint), row("notice-to-start-call", r.ToStart),
	})
}
