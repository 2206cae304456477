package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/terminal"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// screenAttempts is how many receipts fit on one screen, the newest.
const screenAttempts = 6

func (a *app) jobDescribeCommand() *cobra.Command {
	var out format
	c := &cobra.Command{
		Use:     "describe NAME",
		Short:   "Show on one screen how a job is: progress, attempts, where its GPU time went",
		Example: "  stoker job describe llama\n  stoker job describe llama -o yaml",
		Args:    exactly(1, oneJob),
		RunE: func(c *cobra.Command, args []string) error {
			j, err := a.aJob(c, args[0])
			if err != nil {
				return err
			}
			return out.print(a.out, j, func(w io.Writer) error { return describeJob(w, j, a.now()) })
		},
		ValidArgsFunction: a.completeJobs,
	}
	out.bind(c)
	return c
}

func describeJob(w io.Writer, j api.Job, now time.Time) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(label, text string, args ...any) {
		fmt.Fprintf(tw, "%s:\t%s\n", label, clip(fmt.Sprintf(text, args...), screenText))
	}
	line("Job", "%s, ID %s, submitted %s ago%s", j.Key, j.UID, age(j.Submitted, now), by(j.User))
	line("State", "%s for %s: %s", j.Phase, age(j.Since, now), ending(j))
	if w := j.Waiting; w != nil {
		line("Waiting", "%s", waitingText(*w, now))
	}
	line("Gang", "%s", gangLong(j))
	line("Progress", "%s", progressLong(j, now))
	if len(j.Progress.Losses) > 1 {
		line("Loss", "%s", spark(j.Progress.Losses))
	}
	if j.Stuck != nil {
		line("Stuck", "for %s%s", age(j.Stuck.Since, now), stuckNext(*j.Stuck))
		for _, e := range j.Stuck.Evidence {
			fmt.Fprintf(tw, "\t  %s\n", clip(e, screenText-2))
		}
	}
	if j.Goal != nil {
		line("Goal", "%s", goalText(*j.Goal, now))
		line("Sized", "%s: %s", count(j.Goal.Nodes, "node"), j.Goal.Meaning)
		line("Expected", "%s", doneText(*j.Goal, now))
	}
	line("Checkpoint", "%s", checkpointText(j, now))
	r := j.Manifest.Spec.Retry
	line("Retries", "%d of %d for its own errors, %d of %d for those of machines", j.Used.User, r.UserErrors, j.Used.Infra, r.InfraErrors)
	t := j.Time
	lent := ""
	if t.Lent > 0 {
		lent = fmt.Sprintf("; %.1f of it on loan", t.Lent)
	}
	line("GPU-seconds", "%.1f held: %.1f useful, %.1f lost, %.1f starting, %.1f leaving%s; ETTR %.1f %%", t.Held, t.Useful, t.Lost, t.Start, t.Drain, lent, 100*t.ETTR)
	if t.USD > 0 {
		line("Cost", "%.2f USD", t.USD)
	}
	if v := j.Last; v != nil {
		line("Last end", "%s: %s", v.Class, v.Class.Meaning())
		for _, e := range v.Evidence {
			fmt.Fprintf(tw, "\t  %s\n", clip(e, screenText-2))
		}
		if v.Hint != "" {
			line("Hint", "%s", v.Hint)
		}
	}
	if j.Trouble != "" {
		line("Trouble", "%s", j.Trouble)
	}
	line("Workflow", "%s", j.Workflow)
	if err := tw.Flush(); err != nil {
		return err
	}
	if err := describeRanks(w, j, now); err != nil {
		return err
	}
	return describeAttempts(w, j, now)
}

// stuckNext is what follows from a gang's being stuck.
func stuckNext(s api.Stuck) string {
	if s.Action == functions.StuckRestart {
		return "; it is started again"
	}
	return "; stuck.action of its manifest is report, so nothing follows: look at its logs, or cancel or pause it"
}

// goalText is what a job is sized for.
func goalText(g api.Goal, now time.Time) string {
	var parts []string
	if !g.By.IsZero() {
		left := "in " + g.By.Sub(now).Round(time.Second).String()
		if g.By.Before(now) {
			left = age(g.By, now) + " ago"
		}
		parts = append(parts, fmt.Sprintf("done by %s, %s", g.By.UTC().Format(time.RFC3339), left))
	}
	if g.StepsPerSecond > 0 {
		parts = append(parts, fmt.Sprintf("%.4g steps a second", g.StepsPerSecond))
	}
	if g.MaxUSD > 0 {
		parts = append(parts, fmt.Sprintf("at most %.2f USD, of which %.2f are spent", g.MaxUSD, g.USD))
	}
	return strings.Join(parts, "; ")
}

// doneText is what is expected of the size that was chosen by a goal.
func doneText(g api.Goal, now time.Time) string {
	if g.Done.IsZero() {
		return "nobody can tell yet when it is done"
	}
	return fmt.Sprintf("done in %s, %s", g.Done.Sub(now).Round(time.Second), speedsText(g))
}

// speedsText is what an expectation rests on.
func speedsText(g api.Goal) string {
	var each []string
	for _, v := range g.Speeds {
		each = append(each, fmt.Sprintf("%.4g steps/s on %d", v.Steps/v.Seconds, v.Ranks))
	}
	return fmt.Sprintf("which is %s (%s)", g.Basis, strings.Join(each, ", "))
}

func by(user string) string {
	if user == "" {
		return ""
	}
	return " by " + user
}

// ending is why a job is in its phase.
func ending(j api.Job) string {
	if text := j.Cause.Meaning(); text != "" {
		return text
	}
	return dash(string(j.Cause))
}

// gangText is what a job holds, or the least that it needs.
func gangText(j api.Job) string {
	nodes := j.Nodes
	if nodes == 0 {
		nodes = slices.Min(append([]int{math.MaxInt}, j.Sizes...))
	}
	text := fmt.Sprintf("%d×%d", nodes, j.PerNode)
	if j.Nodes == 0 {
		return "(" + text + ")"
	}
	switch {
	case j.Lent == j.GPUs && j.Lent > 0:
		text += " on loan"
	case j.Lent > 0:
		text += fmt.Sprintf(" (%d on loan)", j.Lent)
	}
	return text
}

func gangLong(j api.Job) string {
	each := "each with " + count(j.PerNode, "GPU")
	sizes := ""
	if len(j.Sizes) > 1 {
		sizes = fmt.Sprintf(", elastic from %d to %d", j.Sizes[0], j.Sizes[len(j.Sizes)-1])
	}
	if j.Nodes == 0 {
		return fmt.Sprintf("holds nothing; needs %s, %s%s", count(j.Sizes[0], "node"), each, sizes)
	}
	loan := ""
	if j.Lent > 0 {
		loan = fmt.Sprintf(", %d of %s on loan from functions", j.Lent, count(j.GPUs, "GPU"))
	}
	return fmt.Sprintf("%s, %s%s%s; attempt %d, generation %d", count(j.Nodes, "node"), each, loan, sizes, j.Attempt, j.Generation)
}

func progressText(j api.Job) string {
	p := j.Progress
	switch {
	case p.At.IsZero():
		return "-"
	case p.Percent > 0:
		return fmt.Sprintf("%.0f %%", p.Percent)
	}
	return fmt.Sprintf("step %d", p.Step)
}

func progressLong(j api.Job, now time.Time) string {
	p := j.Progress
	if p.At.IsZero() {
		return "none reported yet"
	}
	text := fmt.Sprintf("step %d", p.Step)
	if p.Loss != nil {
		text += fmt.Sprintf(", loss %.4g", *p.Loss)
	}
	if p.Diverged {
		text += ", LOSS IS NOT A NUMBER"
	}
	if p.Percent > 0 {
		text += fmt.Sprintf(", %.1f %%", p.Percent)
	}
	if p.ETASec > 0 && !j.Phase.Terminal() {
		text += ", ready in " + (time.Duration(p.ETASec) * time.Second).String()
	}
	return text + ", " + age(p.At, now) + " ago"
}

func checkpointText(j api.Job, now time.Time) string {
	if j.Saved.Path == "" {
		return "none committed yet"
	}
	return fmt.Sprintf("step %d, %s ago, %s", j.Saved.Step, age(j.Saved.At, now), j.Saved.Path)
}

// bars are the heights of a sparkline.
var bars = []rune("▁▂▃▄▅▆▇█")

// spark draws numbers as bars, with the first and the last beside it.
func spark(list []float64) string {
	low, high := slices.Min(list), slices.Max(list)
	var b strings.Builder
	for _, v := range list {
		at := 0
		if high > low {
			at = int((v - low) / (high - low) * float64(len(bars)-1))
		}
		b.WriteRune(bars[at])
	}
	return fmt.Sprintf("%s  %.4g → %.4g", b.String(), list[0], list[len(list)-1])
}

func describeRanks(w io.Writer, j api.Job, now time.Time) error {
	if len(j.Ranks) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, r := range j.Ranks[:min(len(j.Ranks), screenReplicas)] {
		rows = append(rows, []string{number(r.Rank), r.ID, r.State, dash(r.Node), pidText(r.PID), fmt.Sprint(r.Step), age(r.Heard, now)})
	}
	if err := table(w, "RANK ID STATE NODE PID STEP HEARD", rows); err != nil {
		return err
	}
	if more := len(j.Ranks) - screenReplicas; more > 0 {
		fmt.Fprintf(w, "and %d more; -o yaml lists all\n", more)
	}
	return nil
}

func describeAttempts(w io.Writer, j api.Job, now time.Time) error {
	if len(j.Attempts) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, x := range j.Attempts[max(0, len(j.Attempts)-screenAttempts):] {
		rows = append(rows, []string{
			fmt.Sprint(x.Generation), number(x.Nodes), age(x.Placed, now), took(x.Placed, x.Started), took(x.Started, cmp.Or(x.Noticed, x.Released, now)),
			took(x.Noticed, x.Released), fmt.Sprint(x.Step), savedText(x), dash(string(cmp.Or(x.Class, job.Class(x.Asked)))),
		})
	}
	return table(w, "GENERATION NODES PLACED START TRAINED LEFT STEP SAVED END", rows)
}

// took is the time between two moments that have both come.
func took(from, to time.Time) string {
	if from.IsZero() || to.IsZero() || to.Before(from) {
		return "-"
	}
	return msText(float64(to.Sub(from)) / float64(time.Millisecond))
}

func savedText(x api.Attempt) string {
	if x.SavedAt.IsZero() {
		return "-"
	}
	return fmt.Sprint(x.SavedStep)
}

func (a *app) jobExplainCommand() *cobra.Command {
	var out format
	c := &cobra.Command{
		Use:     "explain NAME",
		Short:   "Say why a job waits: what it lacks, who holds it, when it may begin; and why it has its size",
		Example: "  stoker job explain llama",
		Args:    exactly(1, oneJob),
		RunE: func(c *cobra.Command, args []string) error {
			j, err := a.aJob(c, args[0])
			if err != nil {
				return err
			}
			return out.print(a.out, j.Waiting, func(w io.Writer) error {
				fmt.Fprintf(w, "%s is %s: %s\n", j.Key, j.Phase, terminal.Line(ending(j)))
				if s := j.Stuck; s != nil {
					fmt.Fprintf(w, "It is stuck%s.\n  %s\n", stuckNext(*s), strings.Join(s.Evidence, "\n  "))
				}
				if j.Goal != nil && !j.Phase.Terminal() {
					g := *j.Goal
					fmt.Fprintf(w, "Its goal: %s.\nIt is to have %s: %s.\nExpected: %s.\n", goalText(g, a.now()), count(g.Nodes, "node"), g.Meaning, doneText(g, a.now()))
				}
				if j.Trouble != "" {
					fmt.Fprintf(w, "Trouble: %s\n", terminal.Line(j.Trouble))
				}
				if j.Waiting == nil {
					fmt.Fprintln(w, "It waits for nothing.")
					return nil
				}
				return explainWaiting(w, *j.Waiting, a.now())
			})
		},
		ValidArgsFunction: a.completeJobs,
	}
	out.bind(c)
	return c
}

func waitingText(w api.Waiting, now time.Time) string {
	return fmt.Sprintf("place %d; %s; %s", w.Position, w.Meaning, startText(w, now))
}

func startText(w api.Waiting, now time.Time) string {
	switch {
	case w.Start.IsZero():
		return "nobody can tell when it begins"
	case !w.Start.After(now):
		return "it may begin at any moment"
	}
	return "it is expected to begin in " + w.Start.Sub(now).Round(time.Second).String()
}

func explainWaiting(w io.Writer, x api.Waiting, now time.Time) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "Place:\t%d\n", x.Position)
	fmt.Fprintf(tw, "Why:\t%s\n", x.Meaning)
	if x.Lacks > 0 {
		fmt.Fprintf(tw, "Lacks:\t%s\n", count(x.Lacks, "GPU"))
	}
	if len(x.Holders) > 0 {
		fmt.Fprintf(tw, "Held by:\t%s\n", strings.Join(x.Holders, ", "))
	}
	fmt.Fprintf(tw, "Queue:\t%s\n", queueText(x.Queue))
	fmt.Fprintf(tw, "When:\t%s\n", startText(x, now))
	return tw.Flush()
}
