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

// minEach is the shortest time a way can be used in one round: some requests must end in it.
const minEach = 50 * time.Millisecond

func (a *app) benchPathCommand(b *benchFlags) *cobra.Command {
	o := bench.PathOptions{Progress: a.err}
	c := &cobra.Command{
		Use:   "path",
		Short: "Request a warm replica: direct HTTP, raw JetStream and the whole path, side by side",
		Long: `Start a platform, one replica with 64 slots on a trivial HTTP server, and a raw worker, each a
process of its own, and ask them from this one in turn: the server itself (direct), a JetStream
queue with the same settings and a worker that sends messages back (raw), and stoker by plain
request-reply (stoker), by publishing an event (publish) and over HTTP (http). The floor is what
direct and raw would take one after the other: 1/(1/raw + 1/direct).`,
		Example: "  stoker bench path --callers 64\n  stoker bench path --callers 1 --rounds 10 --json",
		Args:    exactly(0, "none"),
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Callers < 1 || o.Rounds < 1 || o.Each < minEach {
				return usageError{fmt.Errorf("--callers and --rounds: want 1 or more; --each: want %v or more", minEach)}
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			o.Self, o.Config = self, a.config
			return measure(b, func() (bench.PathReport, error) { return bench.Path(c.Context(), o) }, tellPath)
		},
	}
	f := c.Flags()
	f.IntVar(&o.Callers, "callers", 64, "callers, each with one request at a time")
	f.IntVar(&o.Rounds, "rounds", 5, "rounds, in each of which every way is used once")
	f.DurationVar(&o.Each, "each", time.Second, "how long a way is used in one round")
	return c
}

func tellPath(w io.Writer, r bench.PathReport) error {
	fmt.Fprintf(w, "%d callers, %d rounds, %d bytes, load %s\n", r.Callers, r.Rounds, r.PayloadBytes, r.LoadAverage)
	fmt.Fprintf(w, "floor %.0f/s, stoker %.0f/s: %.2f of the floor, %.2f of direct; added p50 %.2f ms, p99 %.2f ms\n",
		r.FloorRPS, r.StokerRPS, r.RatioToFloor, r.RatioToDirect, r.Added.P50, r.Added.P99)
	if err := table(w, "WAY REQUESTS/S P50 P99 MAX SAMPLES CPU-µs CALLERS PLATFORM AGENT BACKEND WORKER", wayRows(r)); err != nil {
		return err
	}
	return table(w, "STREAM CHUNKS/S FIRST-P50 FIRST-P99 SAMPLES", streamRows(r))
}

func wayRows(r bench.PathReport) (rows [][]string) {
	for _, name := range []string{"direct", "raw", "stoker", "publish", "http"} {
		x := r.Ways[name]
		row := []string{name, fmt.Sprintf("%.0f", x.RPS), ms(x.Times.P50), ms(x.Times.P99), ms(x.Times.Max), strconv.Itoa(x.Samples)}
		for _, process := range []string{"total", "callers", "platform", "agent", "backend", "worker"} {
			row = append(row, fmt.Sprintf("%.0f", x.CPU[process]))
		}
		rows = append(rows, row)
	}
	return rows
}

func streamRows(r bench.PathReport) (rows [][]string) {
	for _, name := range []string{"direct", "http", "stoker"} {
		x := r.Streaming.Ways[name]
		rows = append(rows, []string{name, fmt.Sprintf("%.0f", x.ChunksRate), ms(x.FirstChunk.P50), ms(x.FirstChunk.P99), strconv.Itoa(x.Samples)})
	}
	return rows
}

func ms(x float64) string { return fmt.Sprintf("%.2f", x) }

// benchPartCommand plays the processes that a benchmark starts beside itself.
func (a *app) benchPartCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "part {backend FILE | worker URL | trainer INTERVAL}",
		Short:   "Play a process that a benchmark starts beside itself",
		Example: "  PORT=8000 stoker bench part backend /tmp/address",
		Args:    exactly(2, "a part and its argument"),
		Hidden:  true,
		RunE: func(c *cobra.Command, args []string) error {
			switch args[0] {
			case "backend":
				return bench.Backend(c.Context(), args[1])
			case "worker":
				return bench.RawWorker(c.Context(), args[1])
			case "trainer":
				interval, err := time.ParseDuration(args[1])
				if err != nil || interval <= 0 {
					return usageError{fmt.Errorf("interval %q: want a time such as 2s", args[1])}
				}
				return bench.Trainer(c.Context(), interval)
			default:
				return usageError{errors.New("part: want backend, worker or trainer")}
			}
		},
	}
}
