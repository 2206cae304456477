package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// What fits on one screen of 24 lines by 120 columns.
const (
	screenText     = 104 // columns beside the labels
	screenReplicas = 8
	screenLog      = 3 // last lines of a replica that failed
)

func (a *app) describeCommand() *cobra.Command {
	var out format
	c := &cobra.Command{
		Use:     "describe NAME",
		Short:   "Show on one screen whether a function is well, what runs, what waits, what a cold start costs",
		Example: "  stoker describe tinylm\n  stoker describe chat/qwen -o yaml",
		Args:    exactly(1, "the NAME of one function"),
		RunE: func(c *cobra.Command, args []string) error {
			fn, err := a.one(c, args[0])
			if err != nil {
				return err
			}
			return out.print(a.out, fn, func(w io.Writer) error { return describe(w, fn, a.now()) })
		},
		ValidArgsFunction: a.completeFunctions,
	}
	out.bind(c)
	return c
}

// describe answers, top down: is it well, what runs where, what waits, what did the last cold
// start cost.
func describe(w io.Writer, f api.Function, now time.Time) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(label, text string, args ...any) {
		fmt.Fprintf(tw, "%s:\t%s\n", label, clip(fmt.Sprintf(text, args...), screenText))
	}
	line("Function", "%s, revision %s, generation %d, applied %s ago", f.Key, f.Revision, f.Generation, age(f.Applied, now))
	line("State", "%s", health(f))
	line("Decision", "%s", decision(f.Last, now))
	line("Replicas", "%s%s", replicaCounts(f), pinned(f))
	line("Limits", "%d to %s, each with %s and %s", f.Min, count(f.Max, "replica"), count(f.Slots, "slot"), count(f.GPUs, "GPU"))
	line("Waiting", "%s", classes(f.Pending))
	line("Requests", "%d in flight, %d served, %d failed attempts, %d dead letters", f.InFlight, f.Served, f.Failed, f.Dead)
	line("Cold start", "%s", coldStart(f.ColdStart, now))
	s := f.GPUSeconds
	line("GPU-seconds", "%.1f useful, %.1f cold start, %.1f idle, %.1f draining, %.1f unknown", s.Useful, s.Cold, s.Idle, s.Draining, s.Unknown)
	if f.Budget != "" {
		line("Budget", "%s", f.Budget)
	}
	if x := f.Failure; x != nil {
		line("Last failure", "%s", failure(*x, now))
		for _, l := range lastLines(x.Message, screenLog) {
			fmt.Fprintf(tw, "\t  %s\n", clip(l, screenText-2))
		}
	}
	line("Workflow", "%s", f.Workflow)
	if err := tw.Flush(); err != nil {
		return err
	}
	return describeReplicas(w, f, now)
}

// health is the answer to "is it well?" in one line.
func health(f api.Function) string {
	how := "well"
	switch {
	case f.Phase == scale.PhaseFailing && f.Failure != nil:
		how = "NOT WELL: replicas keep failing: " + f.Failure.Cause
	case f.Phase == scale.PhaseFailing:
		how = "NOT WELL: replicas keep failing"
	case f.Last.Inputs.Failures > 0 && f.Ready == 0:
		how = "NOT WELL: " + count(f.Last.Inputs.Failures, "start") + " failed in a row"
		if f.Failure != nil {
			how += ", the last: " + f.Failure.Cause
		}
	case f.Phase == scale.PhaseWaiting && f.Last.Limit == scale.ReasonBudget:
		how = "waits: the budget is spent"
	case f.Phase == scale.PhaseWaiting:
		how = "waits for a GPU" + heldBy(f)
	case f.Blocked != "":
		how = "waits: " + f.Blocked
	case f.Trouble != "":
		how = "trouble, tried again: " + f.Trouble
	case waits(f) != "":
		how = waits(f)
	case f.Silent > 0:
		how = fmt.Sprintf("%d of its replicas silent", f.Silent)
	}
	return string(f.Phase) + ", " + how
}

// waits is what keeps a replica from running, where no other one is ready.
func waits(f api.Function) string {
	for _, r := range f.Replicas {
		if r.Waits != "" && f.Ready == 0 {
			return "replica " + r.ID + " waits: " + r.Waits
		}
	}
	return ""
}

// heldBy names who has the GPUs a function waits for.
func heldBy(f api.Function) string {
	var who []string
	for _, h := range f.Last.Inputs.Holders {
		who = append(who, h.Who)
	}
	if len(who) == 0 {
		return ""
	}
	return ", held by " + strings.Join(who, ", ")
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

// replicaCounts leaves out what there is none of, but for ready.
func replicaCounts(f api.Function) string {
	text := fmt.Sprintf("%d ready of %d wanted", f.Ready, f.Target)
	for _, x := range []struct {
		n    int
		what string
	}{{f.Starting, "starting"}, {f.Draining, "draining"}, {f.Silent, "silent"}} {
		if x.n > 0 {
			text += fmt.Sprintf(", %d %s", x.n, x.what)
		}
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
	return strings.Join(parts, ", ")
}

func coldStart(c *api.ColdStart, now time.Time) string {
	if c == nil {
		return "none yet"
	}
	text := fmt.Sprintf("%s: reserve %s, spawn %s, load %s, ready %s",
		msText(c.TotalMS), msText(c.ReserveMS), msText(c.SpawnMS), msText(c.LoadMS), msText(c.ReadyMS))
	if c.FirstByteMS > 0 {
		text += fmt.Sprintf("; first request %s, first byte %s later", msText(c.FirstRequestMS), msText(c.FirstByteMS))
	}
	return text + fmt.Sprintf("; %s ago", age(c.At, now))
}

func failure(x api.Failure, now time.Time) string {
	return fmt.Sprintf("%s: %s, exit code %d, %s ago", x.Replica, x.Cause, x.ExitCode, age(x.At, now))
}

// describeReplicas lists those that are not ready first: they are what somebody looks for.
func describeReplicas(w io.Writer, f api.Function, now time.Time) error {
	if len(f.Replicas) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	all := slices.Clone(f.Replicas)
	slices.SortStableFunc(all, func(a, b api.Replica) int { return readyLast(a) - readyLast(b) })
	var rows [][]string
	for _, r := range all[:min(len(all), screenReplicas)] {
		rows = append(rows, []string{
			r.ID, r.Phase, age(r.Since, now), dash(r.Node), pidText(r.PID), fmt.Sprintf("%d/%d", r.InFlight, r.Slots),
			fmt.Sprint(r.Served), age(r.LastBeat, now), r.Revision,
		})
	}
	if err := table(w, "REPLICA PHASE SINCE NODE PID IN-FLIGHT SERVED HEARD REVISION", rows); err != nil {
		return err
	}
	if more := len(all) - screenReplicas; more > 0 {
		fmt.Fprintf(w, "and %d more; -o yaml lists all\n", more)
	}
	return nil
}

func readyLast(r api.Replica) int {
	if r.Phase == "ready" {
		return 1
	}
	return 0
}

// pidText: a replica elsewhere has no process here.
func pidText(pid int) string {
	if pid == 0 {
		return "-"
	}
	return number(pid)
}

// lastLines are the last n lines of a text.
func lastLines(s string, n int) []string {
	if s = strings.TrimSpace(s); s == "" {
		return nil
	}
	lines := strings.Split(s, "\n")
	return lines[max(0, len(lines)-n):]
}
