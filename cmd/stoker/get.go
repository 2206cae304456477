package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/functions"
)

func (a *app) getCommand() *cobra.Command {
	var out format
	var all scope
	c := &cobra.Command{
		Use:     "get [NAME]",
		Short:   "List functions, or show one with its manifest (-o yaml)",
		Example: "  stoker get\n  stoker get --all-namespaces\n  stoker get tinylm -o yaml",
		Args:    between(0, 1, "the NAME of one function, or none"),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				fn, err := a.one(c, args[0])
				if err != nil {
					return err
				}
				return out.print(a.out, fn, func(w io.Writer) error { return a.list(w, []api.Function{fn}) })
			}
			cl, _, err := a.client()
			if err != nil {
				return err
			}
			fns, err := cl.List(c.Context(), all.namespace(a))
			if err != nil {
				return err
			}
			return out.print(a.out, fns, func(w io.Writer) error { return a.list(w, fns) })
		},
		ValidArgsFunction: a.completeFunctions,
	}
	all.bind(c, "functions of every namespace")
	out.bind(c)
	return c
}

func (a *app) list(w io.Writer, fns []api.Function) error {
	if len(fns) == 0 {
		return nothingDeployed(a.err)
	}
	now := a.now()
	rows := make([][]string, len(fns))
	for i, f := range fns {
		rows[i] = []string{
			f.Key.Namespace, f.Key.Name, string(f.Phase), fmt.Sprintf("%d/%d", f.Ready, f.Target), strconv.Itoa(waiting(f)),
			strconv.Itoa(f.InFlight), strconv.Itoa(f.GPUs * (f.Ready + f.Starting + f.Draining + f.Silent)), dash(string(f.Last.Reason)), f.Revision, age(f.Applied, now),
		}
	}
	return table(w, "NAMESPACE NAME PHASE READY WAITING IN-FLIGHT GPUS REASON REVISION AGE", rows)
}

// nothingDeployed is for people: programs get an empty list.
func nothingDeployed(w io.Writer) error {
	_, err := fmt.Fprintln(w, "no functions here; `stoker apply -f FILE` deploys one, -n NAMESPACE or -A looks elsewhere")
	return err
}

func waiting(f api.Function) int {
	n := 0
	for _, c := range functions.Classes() {
		n += f.Pending[c]
	}
	return n
}

// completeFunctions completes names from the running platform.
func (a *app) completeFunctions(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	cl, _, err := a.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	fns, err := cl.List(c.Context(), a.namespace)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, f := range fns {
		names = append(names, f.Key.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) statusCommand() *cobra.Command {
	var out format
	c := &cobra.Command{
		Use:     "status",
		Short:   "Show the platform: addresses, GPUs, who holds them",
		Example: "  stoker status -o json",
		Args:    exactly(0, "none"),
		RunE: func(c *cobra.Command, _ []string) error {
			cl, s, err := a.client()
			if err != nil {
				return err
			}
			p, err := cl.Platform(c.Context())
			if err != nil {
				return err
			}
			return out.print(a.out, p, func(w io.Writer) error {
				fmt.Fprintf(w, "stoker %s, up %s, pid %d\nHTTP %s  NATS %s  Temporal %s\n", p.Version, age(p.Started, a.now()), s.PID, p.HTTP, p.NATS, p.Temporal)
				fmt.Fprintf(w, "%s, provider %s, %d of %d GPUs free\n", count(p.Functions, "function"), p.Provider, p.Free, p.Capacity)
				sayHolders(w, p.Holders)
				return nil
			})
		},
	}
	out.bind(c)
	return c
}
