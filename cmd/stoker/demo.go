package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/demo"
)

func (a *app) demoCommand() *cobra.Command {
	o := demo.Options{Version: version(), Progress: a.err}
	var asJSON bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show the main job: an event wakes a model from zero, answers stream in, it goes back to zero",
		Long: `Start a platform in a temporary directory, train a tiny language model, deploy it at zero,
publish a burst of events, watch replicas appear and go, and print what it took. Takes about a
minute once everything is built; leaves nothing behind.`,
		Example: "  stoker demo\n  stoker demo --json\n  stoker demo --keep --requests 60",
		Args:    exactly(0, "none"),
		RunE: func(c *cobra.Command, _ []string) error {
			o.Config = a.config
			report, err := demo.Run(c.Context(), o)
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(a.out)
				enc.SetIndent("", "  ")
				return enc.Encode(report)
			}
			return tellDemo(a.out, report)
		},
	}
	f := c.Flags()
	f.IntVar(&o.Requests, "requests", 24, "events in the burst")
	f.IntVar(&o.GPUs, "gpus", 3, "simulated GPU slots; 0: the driver's GPUs")
	f.BoolVar(&o.Keep, "keep", false, "leave the platform running until interrupted")
	f.BoolVar(&asJSON, "json", false, "print one JSON object at the end")
	return c
}

func tellDemo(w io.Writer, r demo.Report) error {
	x, s := r.Receipt, r.GPUSeconds
	_, err := fmt.Fprintf(w, `
requests       %d sent, %d answered
training       loss %.3f -> %.3f in %.0f s
event-to-start %s  (publish -> lease committed, replica starting)
cold start     %s  = reserve %s + spawn %s + load %s + ready %s; first byte %s later
replicas       %d at most, %d at the end
GPU-seconds    %.1f useful + %.1f cold start + %.1f idle + %.1f draining + %.1f unknown
Temporal UI    %s  (with --keep, which prints a link that lets a browser in)
`, r.RequestsSent, r.RequestsAnswered, r.LossFirst, r.LossLast, r.TrainSeconds, msText(r.EventToStartMS), msText(r.ColdStartMS),
		msText(x.ReserveMS), msText(x.SpawnMS), msText(x.LoadMS), msText(x.ReadyMS), msText(x.FirstByteMS),
		r.ReplicasMax, r.ReplicasEnd, s.Useful, s.Cold, s.Idle, s.Draining, s.Unknown, r.TemporalUI)
	return err
}
