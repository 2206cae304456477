package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/scale"
)

// explainLog is how many of the last log lines of a failed replica are shown.
const explainLog = 10

func (a *app) explainCommand() *cobra.Command {
	var out format
	var n int
	c := &cobra.Command{
		Use:     "explain NAME",
		Short:   "Say why a function is as big as it is, and show its last decisions with their inputs",
		Example: "  stoker explain tinylm\n  stoker explain tinylm --last 3 -o yaml",
		Args:    exactly(1, "the NAME of one function"),
		RunE: func(c *cobra.Command, args []string) error {
			k, cl, err := a.target(args[0])
			if err != nil {
				return err
			}
			e, err := cl.Explain(c.Context(), k)
			if err != nil {
				return err
			}
			e.Decisions = e.Decisions[:min(max(n, 0), len(e.Decisions))]
			return out.print(a.out, e, func(w io.Writer) error { return a.explain(w, e) })
		},
		ValidArgsFunction: a.completeFunctions,
	}
	c.Flags().IntVar(&n, "last", 10, "how many decisions")
	out.bind(c)
	return c
}

func (a *app) explain(w io.Writer, e api.Explanation) error {
	fmt.Fprintf(w, "%s is %s\n\n", e.Function.Key, health(e.Function))
	for _, l := range e.Lines {
		fmt.Fprintf(w, "%s: %s\n", l.Topic, l.Text)
	}
	for _, r := range e.Function.Replicas {
		if r.Waits != "" {
			fmt.Fprintf(w, "%s: replica %s waits: %s\n", r.Phase, r.ID, r.Waits)
		}
	}
	fmt.Fprintf(w, "GPUs: %d of %d free for it\n", e.FreeGPUs, e.Capacity)
	sayHolders(w, e.Holders)
	if x := e.Function.Failure; x != nil {
		fmt.Fprintf(w, "\nlast failure: %s\n", failure(*x, a.now()))
		for _, l := range lastLines(x.Message, explainLog) {
			fmt.Fprintln(w, "  "+l)
		}
	}
	if len(e.Decisions) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	rows := make([][]string, len(e.Decisions))
	for i, d := range e.Decisions {
		rows[i] = a.decisionRow(d)
	}
	return table(w, "EPOCH TIME PHASE TARGET REASON LIMIT WAITING IN-FLIGHT READY STARTING FREE-GPUS SERVICE COLD IDLE", rows)
}

// decisionRow is a decision with the inputs that tell most; -o yaml has them all.
func (a *app) decisionRow(d scale.Decision) []string {
	in := d.Inputs
	free := number(in.FreeGPUs)
	if in.FreeGPUs < 0 {
		free = "?"
	}
	return []string{
		fmt.Sprint(d.Epoch), a.clock(d.At), string(d.Phase), number(d.Target), string(d.Reason), dash(string(d.Limit)),
		number(in.Pending), number(in.InFlight), number(in.Ready), number(in.Starting), free,
		fmt.Sprintf("%.2fs", in.ServiceSec), fmt.Sprintf("%.1fs", in.ColdStartSec), fmt.Sprintf("%.1fs", in.IdleSec),
	}
}

func sayHolders(w io.Writer, holders []scale.Holder) {
	for _, h := range holders {
		fmt.Fprintf(w, "  %d held by %s\n", h.GPUs, h.Who)
	}
}
