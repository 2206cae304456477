package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/cmd/stoker/platform"
)

func (a *app) upCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "up",
		Short: "Run the platform here: broker, Temporal with its UI, controller, gateway, replicas",
		Long: `Run the platform in this process until it is interrupted.

The first interrupt drains: no new work, requests in flight finish within --drain-grace,
replicas go, state is on disk. A second one stops at once. Requests that wait stay stored and
are taken up by the next start.`,
		Example: "  stoker up --gpus 2\n  STOKER_NATS_URL=nats://nats.example:4222 stoker up --nats-creds platform.creds",
		Args:    exactly(0, "none"),
		RunE: func(c *cobra.Command, _ []string) error {
			a.warnUnknown()
			return a.up(c.Context())
		},
	}
	a.config.Bind(c.Flags())
	return c
}

func (a *app) up(ctx context.Context) error {
	p, err := platform.Start(ctx, platform.Options{Config: a.config, Version: version(), Log: a.config.Logger(), Progress: a.err})
	if err != nil {
		return err
	}
	a.greet(p)
	var failure error
	select {
	case <-ctx.Done():
		fmt.Fprintf(a.err, "draining: requests in flight have %s, another interrupt stops at once\n", a.config.DrainGrace)
	case failure = <-p.Failed():
	}
	stop, cancel := hardStop()
	defer cancel()
	if err := p.Stop(stop); err != nil && failure == nil {
		failure = err
	}
	if failure == nil {
		fmt.Fprintln(a.err, "stopped; `stoker up` goes on where it left off")
	}
	return failure
}

// greet says where everything is and what to type next.
func (a *app) greet(p *platform.Platform) {
	s := p.Server()
	fmt.Fprintf(a.out, `stoker is ready

  HTTP         %[1]s
  Temporal UI  %[2]s  (%[7]s ui lets a browser in)
  NATS         %[3]s
  Temporal     %[4]s (namespace %[5]s)
  data         %[6]s

next: %[7]s apply -f FILE       (stoker schema describes the file)
      %[7]s get                 (what is deployed)
`, s.HTTP, s.UI, s.NATS, s.Temporal, s.Namespace, a.config.DataDir, a.self())
}

// self is how the CLI is called so that it finds this platform.
func (a *app) self() string {
	if dir, err := datadir.Default(); err == nil && dir == a.config.DataDir {
		return "stoker"
	}
	return "stoker --data-dir " + a.config.DataDir
}
