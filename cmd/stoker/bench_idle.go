package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/bench"
)

func (a *app) benchIdleCommand(b *benchFlags) *cobra.Command {
	o := bench.IdleOptions{Progress: a.err}
	c := &cobra.Command{
		Use:   "idle",
		Short: "Measure what functions at zero cost, beside an empty platform",
		Long: `Start two platforms, each a process of its own, deploy functions on one of them, and leave both
alone: processor time and memory of the two processes, messages of the broker, and events in
Temporal's histories, over the same window. Then keep one more function warm under load and
compare a round with ten times the requests of another: nothing that reaches the controller
may grow with them.`,
		Example: "  stoker bench idle --functions 1000\n  stoker bench idle --functions 100 --settle 5s --for 10s --requests 0 --json",
		Args:    exactly(0, "none"),
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if o.Functions < 0 || o.Load.Requests < 0 || o.For <= 0 || o.Settle < 0 || o.Load.Round <= 0 {
				return usageError{errors.New("--functions, --requests and --settle: want 0 or more; --for and --round: more than 0s")}
			}
			if o.Self, err = os.Executable(); err != nil {
				return err
			}
			o.Config = a.config
			return measure(b, func() (bench.IdleReport, error) { return bench.Idle(c.Context(), o) }, tellIdle)
		},
	}
	f := c.Flags()
	f.IntVar(&o.Functions, "functions", 1000, "functions at zero")
	f.DurationVar(&o.Settle, "settle", time.Minute, "pause between deploying and measuring")
	f.DurationVar(&o.For, "for", time.Minute, "how long is measured")
	f.IntVar(&o.Load.Requests, "requests", 500, "requests of the small round on one warm function; 0: no such rounds")
	f.DurationVar(&o.Load.Round, "round", 10*time.Second, "length of each of those rounds")
	return c
}

func tellIdle(w io.Writer, r bench.IdleReport) error {
	fmt.Fprintf(w, "%d functions at zero for %.0f s, beside an empty platform; load %s\n", r.Functions, r.WindowSec, r.LoadAverage)
	side := func(name string, s bench.SideReport) []string {
		return []string{
			name, fmt.Sprintf("%.2f", s.CPUPercent), fmt.Sprintf("%.0f", s.RSSMB), fmt.Sprintf("%.0f", s.HeapMB), strconv.Itoa(s.NATSMessages),
			strconv.Itoa(s.TemporalEvents), strconv.Itoa(s.Goroutines), strconv.Itoa(s.Subscriptions), strconv.Itoa(s.Consumers),
		}
	}
	err := table(w, "PLATFORM CPU-% RSS-MB HEAP-MB NATS-MSGS TEMPORAL-EVENTS GOROUTINES SUBSCRIPTIONS CONSUMERS",
		[][]string{side("with-functions", r.Idle), side("empty", r.Empty)})
	if err != nil || r.Warm == nil {
		return err
	}
	return tellLoad(w, *r.Warm)
}

func tellLoad(w io.Writer, r bench.LoadReport) error {
	fmt.Fprintf(w, "under load, per further request: %.4f messages to the platform, %.4f wakes, %.4f events of Temporal, %.4f key-value writes\n",
		r.PerRequest.Received, r.PerRequest.Wakes, r.PerRequest.TemporalEvents, r.PerRequest.Revisions)
	var rows [][]string
	for _, x := range r.Rounds {
		rows = append(rows, []string{
			strconv.Itoa(x.Requests), strconv.Itoa(x.Answered), fmt.Sprintf("%.1f", x.Seconds), strconv.Itoa(x.Received),
			strconv.Itoa(x.Wakes), strconv.Itoa(x.Heartbeats), strconv.Itoa(x.Decisions), strconv.Itoa(x.Syncs), strconv.Itoa(x.TemporalEvents),
			strconv.Itoa(x.Revisions),
		})
	}
	return table(w, "REQUESTS ANSWERED SECONDS RECEIVED WAKES HEARTBEATS DECISIONS SYNCS TEMPORAL-EVENTS KV-WRITES", rows)
}
