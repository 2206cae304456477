package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

func (a *app) describeCommand() *cobra.Command {
	var out format
	c := &cobra.Command{
		Use:   "describe NAME",
		Short: "Show on one screen whether a function is well, what runs, what waits, what a cold start costs",
		Args:  exactly(1, "the NAME of one function"),
		RunE: func(c *cobra.Command, args []string) error {
			fn, err := a.one(c, args[0])
			if err != nil {
				return err
			}
			return out.print(a.out, fn, func(w io.Writer) error { return describe(w, fn, time.Now()) })
		},
		ValidArgsFunction: a.completeFunctions,
	}
	out.bind(c)
	return c
}

// one fetches the function an argument names.
func (a *app) one(c *cobra.Command, arg string) (api.Function, error) {
	k, err := a.key(arg)
	if err != nil {
		return api.Function{}, err
	}
	cl, _, err := a.client()
	if err != nil {
		return api.Function{}, err
	}
	return cl.Get(c.Context(), k)
}

// describe answers, top down: is it well, what runs where, what waits, what did the last cold
// start cost.
func describe(w io.Writer, f api.Function, now time.Time) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(label, text string, args ...any) { fmt.Fprintf(tw, "%s:\t%s\n", label, fmt.Sprintf(text, args...)) }
	line("Function", "%s, revision %s, generation %d, applied %s ago", f.Key, f.Revision, f.Generation, age(f.Applied, now))
	line("State", "%s", health(f))
	line("Decision", "%s", decision(f.Last, now))
	line("Replicas", "%d ready, %d starting, %d draining of target %d (min %d, max %d, %d slot(s), %d GPU(s) each)%s",
		f.Ready, f.Starting, f.Draining, f.Target, f.Min, f.Max, f.Slots, f.GPUs, pinned(f))
	line("Requests", "%s waiting, %d in flight, %d served, %d failed attempts, %d dead", classes(f.Pending), f.InFlight, f.Served, f.Failed, f.Dead)
	line("Cold start", "%s", coldStart(f.ColdStart, now))
	s := f.GPUSeconds
	line("GPU-seconds", "%.1f useful, %.1f cold start, %.1f idle, %.1f draining, %.1f unknown", s.Useful, s.Cold, s.Idle, s.Draining, s.Unknown)
	if x := f.Failure; x != nil {
		line("Last failure", "%s: %s, exit code %d, %s ago%s", x.Replica, x.Cause, x.ExitCode, age(x.At, now), indent(lastLines(x.Message, 3)))
	}
	line("Workflow", "%s", f.Workflow)
	if err := tw.Flush(); err != nil {
		return err
	}
	return describeReplicas(w, f, now)
}

// health is the answer to "is it well?" in one line.
func health(f api.Function) string {
	parts := []string{string(f.Phase)}
	switch {
	case f.Phase == scale.PhaseFailing && f.Failure != nil:
		parts = append(parts, "NOT WELL: replicas keep failing: "+f.Failure.Cause)
	case f.Blocked != "":
		parts = append(parts, "waits: "+f.Blocked)
	case f.Trouble != "":
		parts = append(parts, "trouble, tried again: "+f.Trouble)
	case f.Silent > 0:
		parts = append(parts, fmt.Sprintf("%d replica(s) silent", f.Silent))
	default:
		parts = append(parts, "well")
	}
	return strings.Join(parts, ", ")
}

func decision(d scale.Decision, now time.Time) string {
	if d.Epoch == 0 {
		return "none yet"
	}
	text := fmt.Sprintf("%d: target %d, %s, %s ago", d.Epoch, d.Target, d.Reason, age(d.At, now))
	if d.Limit != "" {
		text += fmt.Sprintf("; wanted %d, held back: %s", d.Wanted, d.Limit)
	}
	return text
}

func pinned(f api.Function) string {
	if f.Pinned == nil {
		return ""
	}
	return fmt.Sprintf(", pinned to %d", *f.Pinned)
}

func classes(m map[functions.Class]int) string {
	var parts []string
	for _, c := range functions.Classes() {
		parts = append(parts, fmt.Sprintf("%d %s", m[c], c))
	}
	return strings.Join(parts, " + ")
}

func coldStart(c *api.ColdStart, now time.Time) string {
	if c == nil {
		return "none yet"
	}
	return fmt.Sprintf("%s: reserve %s, spawn %s, load %s, ready %s (then first byte %s), %s ago",
		msText(c.TotalMS), msText(c.ReserveMS), msText(c.SpawnMS), msText(c.LoadMS), msText(c.ReadyMS), msText(c.FirstByteMS), age(c.At, now))
}

func describeReplicas(w io.Writer, f api.Function, now time.Time) error {
	if len(f.Replicas) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	rows := make([][]string, len(f.Replicas))
	for i, r := range f.Replicas {
		rows[i] = []string{
			r.ID, r.Phase, age(r.Since, now), dash(r.Node), fmt.Sprint(r.PID), fmt.Sprintf("%d/%d", r.InFlight, r.Slots),
			fmt.Sprint(r.Served), age(r.LastBeat, now), r.Revision,
		}
	}
	return table(w, "REPLICA PHASE SINCE NODE PID IN-FLIGHT SERVED HEARTBEAT REVISION", rows)
}

// lastLines are the last n lines of a text.
func lastLines(s string, n int) []string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	if s == "" {
		return nil
	}
	return lines[max(0, len(lines)-n):]
}

func indent(lines []string) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString("\n\t  " + l)
	}
	return b.String()
}

func (a *app) explainCommand() *cobra.Command {
	var out format
	var n int
	c := &cobra.Command{
		Use:   "explain NAME",
		Short: "Say why a function is as big as it is, and show its last decisions with their inputs",
		Args:  exactly(1, "the NAME of one function"),
		RunE: func(c *cobra.Command, args []string) error {
			k, err := a.key(args[0])
			if err != nil {
				return err
			}
			cl, _, err := a.client()
			if err != nil {
				return err
			}
			e, err := cl.Explain(c.Context(), k)
			if err != nil {
				return err
			}
			e.Decisions = e.Decisions[:min(n, len(e.Decisions))]
			return out.print(a.out, e, func(w io.Writer) error { return explain(w, e) })
		},
		ValidArgsFunction: a.completeFunctions,
	}
	c.Flags().IntVar(&n, "last", 10, "how many decisions")
	out.bind(c)
	return c
}

func explain(w io.Writer, e api.Explanation) error {
	fmt.Fprintf(w, "%s is %s\n\n", e.Function.Key, health(e.Function))
	for _, l := range e.Lines {
		fmt.Fprintf(w, "%s: %s\n", l.Topic, l.Text)
	}
	fmt.Fprintf(w, "GPUs: %d of %d free for it\n", e.FreeGPUs, e.Capacity)
	for _, h := range e.Holders {
		fmt.Fprintf(w, "  %d held by %s\n", h.GPUs, h.Who)
	}
	if x := e.Function.Failure; x != nil {
		fmt.Fprintf(w, "\nlast failure: %s: %s, exit code %d\n", x.Replica, x.Cause, x.ExitCode)
		for _, l := range lastLines(x.Message, 10) {
			fmt.Fprintln(w, "  "+l)
		}
	}
	fmt.Fprintln(w)
	rows := make([][]string, len(e.Decisions))
	for i, d := range e.Decisions {
		in := d.Inputs
		rows[i] = []string{
			fmt.Sprint(d.Epoch), d.At.Local().Format("15:04:05.000"), string(d.Phase), fmt.Sprint(d.Target), string(d.Reason), dash(string(d.Limit)),
			fmt.Sprintf("waiting=%d in-flight=%d ready=%d starting=%d free-gpus=%d service=%.3fs cold=%.2fs idle=%.1fs",
				in.Pending, in.InFlight, in.Ready, in.Starting, in.FreeGPUs, in.ServiceSec, in.ColdStartSec, in.IdleSec),
		}
	}
	return table(w, "EPOCH TIME PHASE TARGET REASON LIMIT INPUTS", rows)
}
