package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/api"
)

func (a *app) logsCommand() *cobra.Command {
	var follow bool
	var tail int
	var replica string
	c := &cobra.Command{
		Use:   "logs NAME",
		Short: "Print what a replica's model server writes",
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
			r, err := cl.Logs(c.Context(), k, replica, tail, follow)
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = io.Copy(a.out, r)
			if c.Context().Err() != nil {
				return nil // the user has seen enough
			}
			return err
		},
		ValidArgsFunction: a.completeFunctions,
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on as more is written")
	c.Flags().IntVar(&tail, "tail", 200, "how many lines back; 0: all that is kept")
	c.Flags().StringVar(&replica, "replica", "", "of this replica (default: the newest)")
	return c
}

func (a *app) eventsCommand() *cobra.Command {
	var follow bool
	var since time.Duration
	var out format
	c := &cobra.Command{
		Use:   "events [NAME]",
		Short: "Print what happened: decisions, replicas, deployments",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
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
				if err := a.printEvent(out, e); err != nil {
					return err
				}
			}
			return nil
		},
		ValidArgsFunction: a.completeFunctions,
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on as more happens")
	c.Flags().DurationVar(&since, "since", time.Hour, "how far back")
	out.bind(c)
	return c
}

// printEvent writes one line per event: JSON lines for programs.
func (a *app) printEvent(out format, e api.Event) error {
	if out != "" {
		return json.NewEncoder(a.out).Encode(e)
	}
	_, err := fmt.Fprintf(a.out, "%s  %-24s %-18s %s\n", e.At.Local().Format("15:04:05.000"), e.Key, e.What, details(e))
	return err
}

// shownDetails bounds a line of events.
const shownDetails = 160

// details are the plain values of an event's data, by name.
func details(e api.Event) string {
	text := ""
	for _, name := range slices.Sorted(maps.Keys(e.Data)) {
		switch v := e.Data[name].(type) {
		case string, float64, bool:
			text += fmt.Sprintf("%s=%v ", name, v)
		}
	}
	if len(text) > shownDetails {
		text = text[:shownDetails] + "..."
	}
	return text
}
