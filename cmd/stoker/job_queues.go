package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/api"
)

func (a *app) jobQueuesCommand() *cobra.Command {
	var out format
	var all scope
	c := &cobra.Command{
		Use:   "queues",
		Short: "List the queues that training jobs wait in: what they are guaranteed, hold and have used",
		Long: `List the queues that training jobs wait in: what they are guaranteed, hold and have used.

Operators write them as manifests of kind JobQueue into the file of stoker up --queues. Requests wait
in other queues, those of stoker queue.`,
		Example: "  stoker job queues -n research\n  stoker job queues --all-namespaces -o json",
		Args:    exactly(0, "none"),
		RunE: func(c *cobra.Command, _ []string) error {
			cl, _, err := a.client()
			if err != nil {
				return err
			}
			queues, err := cl.JobQueues(c.Context(), all.namespace(a))
			if err != nil {
				return err
			}
			return out.print(a.out, queues, func(w io.Writer) error { return listJobQueues(w, queues) })
		},
	}
	all.bind(c, "of every namespace")
	out.bind(c)
	return c
}

func listJobQueues(w io.Writer, queues []api.JobQueue) error {
	rows := make([][]string, len(queues))
	for i, q := range queues {
		most := "-"
		if q.Max > 0 {
			most = number(q.Max)
		}
		rows[i] = []string{q.String(), number(q.Guaranteed), most, number(q.Weight), number(q.Held), number(q.Lent), number(q.Running), number(q.Waiting), fmt.Sprintf("%.1f", q.GPUHours)}
	}
	return table(w, "QUEUE GUARANTEED MAX WEIGHT HELD LENT RUNNING WAITING GPU-HOURS", rows)
}

// queueText is what a queue has and may have.
func queueText(q api.JobQueue) string {
	text := fmt.Sprintf("%s holds %s of %d guaranteed", q, count(q.Held, "GPU"), q.Guaranteed)
	if q.Max > 0 {
		text += fmt.Sprintf(" and at most %d", q.Max)
	}
	return text + fmt.Sprintf("; it has used %.1f GPU-hours, of which half are forgotten in %s", q.GPUHours, q.HalfLife)
}
