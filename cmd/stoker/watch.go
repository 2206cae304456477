package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/terminal"
)

func (a *app) logsCommand() *cobra.Command {
	var follow bool
	var tail int
	var replica string
	c := &cobra.Command{
		Use:     "logs NAME",
		Short:   "Print what a replica's model server writes",
		Example: "  stoker logs tinylm --tail 20\n  stoker logs tinylm --follow --replica tinylm-3f9c1e0a57",
		Args:    exactly(1, "the NAME of one function"),
		RunE: func(c *cobra.Command, args []string) error {
			k, cl, err := a.target(args[0])
			if err != nil {
				return err
			}
			r, err := cl.Logs(c.Context(), k, replica, tail, follow)
			if err != nil {
				return err
			}
			return a.copyLogs(c.Context(), r)
		},
		ValidArgsFunction: a.completeFunctions,
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on as more is written")
	c.Flags().IntVar(&tail, "tail", 200, "how many lines back; 0: all that is kept")
	c.Flags().StringVar(&replica, "replica", "", "of this replica (default: the newest)")
	return c
}

// copyLogs prints a log until it ends or the user has seen enough.
func (a *app) copyLogs(ctx context.Context, from io.ReadCloser) error {
	defer from.Close()
	_, err := io.Copy(terminal.Text(a.out), from)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (a *app) eventsCommand() *cobra.Command {
	var follow bool
	var since time.Duration
	var out format
	c := &cobra.Command{
		Use:     "events [NAME]",
		Short:   "Print what happened: decisions, replicas, deployments",
		Example: "  stoker events --follow\n  stoker events tinylm --since 10m -o json",
		Args:    between(0, 1, "the NAME of one function, or none"),
		RunE: func(c *cobra.Command, args []string) error {
			if follow && !c.Flags().Changed("since") {
				since = 0
			}
			f := api.EventFilter{Namespace: a.namespace, Since: since, Follow: follow}
			if len(args) == 1 {
				k, err := a.key(args[0])
				if err != nil {
					return err
				}
				f.Namespace, f.Function = k.Namespace, k.Name
			}
			cl, _, err := a.client()
			if err != nil {
				return err
			}
			for e, err := range cl.Events(c.Context(), f) {
				if err != nil {
					return err
				}
				if err := out.stream(a.out, e, func(w io.Writer) error { return a.printEvent(w, e) }); err != nil {
					return err
				}
			}
			return nil
		},
		ValidArgsFunction: a.completeFunctions,
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on as more happens")
	c.Flags().DurationVar(&since, "since", time.Hour, "how far back (with --follow: from now on)")
	out.bind(c)
	return c
}

// printEvent writes one line.
func (a *app) printEvent(w io.Writer, e api.Event) error {
	_, err := fmt.Fprintf(w, "%s  %-24s %-16s %s\n", a.clock(e.At), e.Key, e.What, details(e))
	return err
}

// shownDetails bounds a line of events.
const shownDetails = 160

// detailsFirst are what somebody looks for in an event; detailsUntold says no more than the
// line does already.
var (
	detailsFirst  = []string{"target", "reason", "limit", "phase", "action", "replica", "cause"}
	detailsUntold = []string{"at", "next", "epoch"}
)

// details are the plain values of an event's data: the telling ones first, then by name.
func details(e api.Event) string {
	var text []string
	names := slices.Clone(detailsFirst)
	for _, name := range slices.Sorted(maps.Keys(e.Data)) {
		if !slices.Contains(names, name) && !slices.Contains(detailsUntold, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		switch v := e.Data[name].(type) {
		case string, float64, bool:
			text = append(text, fmt.Sprintf("%s=%v", name, v))
		}
	}
	return clip(strings.Join(text, " "), shownDetails)
}
