package main

import (
	"encoding/json"
	"errors"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/simulate"
	"stoker.dev/stoker/cmd/stoker/terminal"
)

func (a *app) planCommand() *cobra.Command {
	var o simulate.PlanOptions
	var trace traceFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "plan",
		Short: "Say what to write into manifests for a trace, and what each nine and each GPU product costs",
		Long: `Simulate a trace with several bounds and keep-alives, take the cheapest with which no more requests
are late than the manifests' objectives allow together, and tell min, max and keepAlive to write
into each manifest, GPUs, cost per hour and month, and what 90 %, 99 % and 99.9 % cost. The
objective decides how many replicas there may be, not the manifests' max, unless --within-max asks
for that. Each --profile is a GPU product: its slots, service and cold-start times and price; the
cheapest is named.`,
		Example: "  stoker plan --trace trace.csv.gz --manifest function.yaml --profile h100.yaml --profile l40s.yaml\n" +
			"  stoker plan --record-from --since 24h --manifest function.yaml",
		Args: exactly(0, "none"),
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Manifest == "" {
				return usageError{errors.New("--manifest: name the manifests to plan for")}
			}
			if err := trace.check(a.now()); err != nil {
				return usageError{err}
			}
			file, done, err := a.traceFile(c, trace)
			if err != nil {
				return err
			}
			defer done()
			show := simulate.Options{Trace: file}
			wipe := a.showPasses(&show)
			o.Trace, o.Progress = file, show.Progress
			products, err := simulate.Plan(c.Context(), o)
			wipe()
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(a.out)
				enc.SetIndent("", "  ")
				return enc.Encode(products)
			}
			return simulate.PlanTable(terminal.Safe(a.out), products)
		},
	}
	f := c.Flags()
	trace.bind(c)
	f.StringVarP(&o.Manifest, "manifest", "f", "", "manifests with the objectives")
	f.StringArrayVar(&o.Profiles, "profile", nil, "profile of a GPU product, can be repeated")
	f.BoolVar(&o.WithinMax, "within-max", false, "plan within the manifests' own max")
	f.BoolVar(&asJSON, "json", false, "print one JSON array with an object per product")
	f.Uint64Var(&o.Seed, "seed", 1, "seed of the cold starts")
	return c
}
