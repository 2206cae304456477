package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/functions"
)

// deadPage is how many dead letters are fetched at a time.
const deadPage = 200

func (a *app) queueCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "queue",
		Short: "See what waits, and handle requests whose attempts are spent (dead letters)",
	}
	c.AddCommand(a.queueListCommand(), a.deadCommand(), a.redeemCommand("redrive", "Run dead letters again, each under a new id"),
		a.redeemCommand("purge", "Delete dead letters; their terminal records stay"))
	return c
}

func (a *app) queueListCommand() *cobra.Command {
	var out format
	c := &cobra.Command{
		Use:     "list [NAME]",
		Short:   "List what waits, of how much may wait, per function and class",
		Example: "  stoker queue list\n  stoker queue list tinylm -o json",
		Args:    between(0, 1, "the NAME of one function, or none"),
		RunE: func(c *cobra.Command, args []string) error {
			fns, err := a.some(c, args)
			if err != nil {
				return err
			}
			return out.print(a.out, fns, func(w io.Writer) error {
				rows := make([][]string, len(fns))
				for i, f := range fns {
					rows[i] = []string{f.Key.String()}
					for _, class := range functions.Classes() {
						rows[i] = append(rows[i], fmt.Sprintf("%d/%d", f.Pending[class], f.Manifest.Spec.Queue.Depth.Of(class)))
					}
					rows[i] = append(rows[i], strconv.Itoa(f.InFlight), string(f.Phase))
				}
				if len(rows) == 0 {
					return nothingDeployed(a.err)
				}
				return table(w, "FUNCTION INTERACTIVE STANDARD BATCH IN-FLIGHT PHASE", rows)
			})
		},
		ValidArgsFunction: a.completeFunctions,
	}
	out.bind(c)
	return c
}

func (a *app) some(c *cobra.Command, args []string) ([]api.Function, error) {
	if len(args) == 1 {
		fn, err := a.one(c, args[0])
		return []api.Function{fn}, err
	}
	cl, _, err := a.client()
	if err != nil {
		return nil, err
	}
	return cl.List(c.Context(), a.namespace)
}

func (a *app) deadCommand() *cobra.Command {
	var out format
	var seq uint64
	c := &cobra.Command{
		Use:     "dead NAME",
		Short:   "List dead letters, or show one with --seq",
		Example: "  stoker queue dead tinylm\n  stoker queue dead tinylm --seq 12",
		Args:    exactly(1, "the NAME of one function"),
		RunE: func(c *cobra.Command, args []string) error {
			k, cl, err := a.target(args[0])
			if err != nil {
				return err
			}
			letters, err := allDead(c, cl, k)
			if err != nil {
				return err
			}
			if seq > 0 {
				return a.showDead(out, letters, seq)
			}
			return out.print(a.out, letters, func(w io.Writer) error { return a.listDead(w, letters) })
		},
		ValidArgsFunction: a.completeFunctions,
	}
	c.Flags().Uint64Var(&seq, "seq", 0, "show this one with its payload")
	out.bind(c)
	return c
}

func allDead(c *cobra.Command, cl *api.Client, k functions.Key) ([]api.DeadLetter, error) {
	all := []api.DeadLetter{}
	after := uint64(0)
	for {
		page, err := cl.Dead(c.Context(), k, after, deadPage)
		if err != nil || len(page) == 0 {
			return all, err
		}
		all = append(all, page...)
		after = page[len(page)-1].Seq
	}
}

func (a *app) listDead(w io.Writer, letters []api.DeadLetter) error {
	if len(letters) == 0 {
		fmt.Fprintln(a.err, "no dead letters")
		return nil
	}
	rows := make([][]string, len(letters))
	for i, d := range letters {
		rows[i] = []string{strconv.FormatUint(d.Seq, 10), d.ID, string(d.Class), strconv.Itoa(d.Attempts), d.Cause, age(d.At, a.now())}
	}
	return table(w, "SEQ ID CLASS ATTEMPTS CAUSE AGE", rows)
}

func (a *app) showDead(out format, letters []api.DeadLetter, seq uint64) error {
	for _, d := range letters {
		if d.Seq == seq {
			return out.print(a.out, d, func(w io.Writer) error {
				fmt.Fprintf(w, "id %s, source %s, class %s\n%d attempts, %s: %s\n\n%s\n", d.ID, d.Source, d.Class, d.Attempts, d.Cause, d.Message, d.Data)
				return nil
			})
		}
	}
	return &api.Error{Code: 404, Cause: "not-found", Message: fmt.Sprintf("no dead letter %d", seq), Hint: "`stoker queue dead NAME` lists them"}
}

func (a *app) redeemCommand(op, short string) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:     op + " NAME SEQ... | NAME --all",
		Short:   short,
		Example: fmt.Sprintf("  stoker queue %s tinylm 12 13\n  stoker queue %s tinylm --all", op, op),
		Args:    between(1, math.MaxInt, "the NAME of one function, then sequence numbers or --all"),
		RunE: func(c *cobra.Command, args []string) error {
			k, err := a.key(args[0])
			if err != nil {
				return err
			}
			req := api.DeadRequest{Op: op, All: all}
			if req.Seqs, err = seqs(args[1:], all); err != nil {
				return err
			}
			cl, _, err := a.client()
			if err != nil {
				return err
			}
			done, err := cl.Redeem(c.Context(), k, req)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s: %s done\n", count(done.N, "dead letter"), op)
			for _, id := range done.IDs {
				fmt.Fprintf(a.out, "  runs again as %s\n", id)
			}
			return nil
		},
		ValidArgsFunction: a.completeFunctions,
	}
	c.Flags().BoolVar(&all, "all", false, "all dead letters of the function")
	return c
}

func seqs(args []string, all bool) ([]uint64, error) {
	if all == (len(args) > 0) {
		return nil, usageError{errors.New("give either sequence numbers (see `stoker queue dead NAME`) or --all")}
	}
	var out []uint64
	for _, arg := range args {
		n, err := strconv.ParseUint(arg, 10, 64)
		if err != nil {
			return nil, usageError{fmt.Errorf("%q is no sequence number; `stoker queue dead NAME` lists them", arg)}
		}
		out = append(out, n)
	}
	return out, nil
}
