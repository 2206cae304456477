package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
)

func (a *app) scaleCommand() *cobra.Command {
	var auto bool
	c := &cobra.Command{
		Use:     "scale NAME REPLICAS | NAME --auto",
		Short:   "Pin the number of replicas, or give it back to demand",
		Example: "  stoker scale tinylm 2\n  stoker scale tinylm --auto",
		Args:    between(1, 2, "the NAME of one function, then a number of replicas or --auto"),
		RunE: func(c *cobra.Command, args []string) error {
			k, err := a.key(args[0])
			if err != nil {
				return err
			}
			n, err := replicas(args[1:], auto)
			if err != nil {
				return err
			}
			cl, _, err := a.client()
			if err != nil {
				return err
			}
			if err := cl.Scale(c.Context(), k, n); err != nil {
				return err
			}
			if n == nil {
				fmt.Fprintf(a.out, "function %s scales by demand\n", k)
				return nil
			}
			fmt.Fprintf(a.out, "function %s is pinned to %s; `stoker scale %s --auto` undoes it\n", k, count(*n, "replica"), k)
			return nil
		},
		ValidArgsFunction: a.completeFunctions,
	}
	c.Flags().BoolVar(&auto, "auto", false, "scale by demand again")
	return c
}

func replicas(args []string, auto bool) (*int, error) {
	switch {
	case auto && len(args) == 0:
		return nil, nil
	case auto || len(args) == 0:
		return nil, usageError{errors.New("give either a number of replicas or --auto")}
	}
	n, err := strconv.Atoi(args[0])
	if err != nil || n < 0 {
		return nil, usageError{fmt.Errorf("%q is no number of replicas: want 0 or more", args[0])}
	}
	return &n, nil
}

func (a *app) pauseCommand(paused bool) *cobra.Command {
	verb, short, said := "pause", "Keep a function's requests waiting and run none", "paused: requests wait, `stoker resume` lets them run"
	if !paused {
		verb, short, said = "resume", "Let a paused function run again", "resumed"
	}
	return &cobra.Command{
		Use:     verb + " NAME",
		Short:   short,
		Example: "  stoker " + verb + " tinylm",
		Args:    exactly(1, "the NAME of one function"),
		RunE: func(c *cobra.Command, args []string) error {
			k, cl, err := a.target(args[0])
			if err != nil {
				return err
			}
			if err := cl.Pause(c.Context(), k, paused); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "function %s is %s\n", k, said)
			return nil
		},
		ValidArgsFunction: a.completeFunctions,
	}
}
