package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/scale/cost"
	"stoker.dev/stoker/scale/jobs/loan"
)

func (a *app) costCommand() *cobra.Command {
	var by, since string
	var out format
	c := &cobra.Command{
		Use:   "cost",
		Short: "Show where the GPU time went, and what it cost",
		Long: `Show where the pool's GPU time went: GPU-seconds by cause, their share of all that was provisioned,
and what they cost. The lines add up to the total, and the total is devices x time. LENT is what of a
training job's GPU-seconds was on GPUs that functions had left idle and lent to it; below the table is
how often that was, and how soon they were given back.

Minutes are kept for a day and hours for 90 days, so --since is rounded down to one of them. Prices
come from the file given to stoker up --prices; without a price the USD columns stay empty.`,
		Example: "  stoker cost\n  stoker cost --by cause --since 1h\n  stoker cost --by namespace --since 2026-11-01 -o json",
		Args:    exactly(0, "none"),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkCost(a, by, since); err != nil {
				return usageError{err}
			}
			cl, _, err := a.client()
			if err != nil {
				return err
			}
			r, err := cl.Cost(c.Context(), cost.By(by), since)
			if err != nil {
				return err
			}
			return out.print(a.out, r, func(w io.Writer) error { return sayCost(w, r) })
		},
	}
	c.Flags().StringVar(&by, "by", string(cost.ByFunction), "one line per "+waysText())
	c.Flags().StringVar(&since, "since", "24h", "how long ago (30m, 24h, 7d), a day (2026-11-27) or a time (2026-11-27T09:00:00Z)")
	out.bind(c)
	return c
}

func checkCost(a *app, by, since string) error {
	_, err := api.ParseSince(since, a.now())
	if !slices.Contains(cost.Ways(), cost.By(by)) {
		err = errors.Join(err, fmt.Errorf("--by %q: allowed: %s", by, waysText()))
	}
	return err
}

func waysText() string {
	var names []string
	for _, b := range cost.Ways() {
		names = append(names, string(b))
	}
	return strings.Join(names, ", ")
}

// sayCost is a table whose last line is the total.
func sayCost(w io.Writer, r api.Cost) error {
	fmt.Fprintf(w, "pool %s, %s to %s (UTC), GPU-seconds\n", r.Pool, r.From.Format("2006-01-02 15:04:05"), r.To.Format("2006-01-02 15:04:05"))
	var rows [][]string
	for _, l := range append(r.Lines, r.Total) {
		rows = append(rows, costRow(l))
	}
	if err := table(w, strings.ToUpper(string(r.By))+" GPU-SECONDS SHARE USEFUL COLD IDLE DRAINING UNKNOWN OTHER LENT REQUESTS USD USD/1000-REQ USD/1M-TOKENS", rows); err != nil {
		return err
	}
	if r.Total.Unpriced > 0 {
		fmt.Fprintf(w, "%.1f GPU-seconds are of products without a price and not in USD; give prices with stoker up --prices FILE\n", r.Total.Unpriced)
	}
	if r.Loans.Loans > 0 {
		sayLoans(w, r.Loans, r.Total)
	}
	return nil
}

// sayLoans says what functions have lent to jobs.
func sayLoans(w io.Writer, s loan.Summary, total cost.Line) {
	fmt.Fprintf(w, "%s from functions to jobs since %s (UTC), %d of them open with %s; lent are %.1f GPU-seconds, %s USD\n",
		count(s.Loans, "loan"), s.From.UTC().Format("2006-01-02 15:04:05"), s.Open, count(s.GPUs, "GPU"), total.Lent, usd(total.LentUSD, 4))
	fmt.Fprintf(w, "%d recalled, %d overdue", s.Recalls, s.Overdue)
	if s.GiveBack.Of > 0 {
		fmt.Fprintf(w, "; given back in %.3f s (p50) and %.3f s (p99)", s.GiveBack.P50, s.GiveBack.P99)
	}
	if s.Save.Of > 0 {
		fmt.Fprintf(w, ", of which checkpoints took %.3f s (p50) and %.3f s (p99)", s.Save.P50, s.Save.P99)
	}
	fmt.Fprintln(w)
	for _, c := range s.Credits {
		fmt.Fprintf(w, "in all %s have lent %.1f GPU-seconds in %s, %d recalled, %d overdue\n", c.Lender, c.GPUSeconds, count(c.Loans, "loan"), c.Recalls, c.Overdue)
	}
}

// costRow leaves causes that are no function's to one column; -o json tells them apart.
func costRow(l cost.Line) []string {
	seconds := func(s float64) string { return fmt.Sprintf("%.1f", s) }
	other := l.Causes[cost.Free] + l.Causes[cost.Foreign] + l.Causes[cost.Unusable] + l.Causes[cost.Down]
	return []string{
		l.Name, seconds(l.GPUSeconds), fmt.Sprintf("%.1f%%", l.Share*100), seconds(l.Causes[cost.Useful]), seconds(l.Causes[cost.Cold]),
		seconds(l.Causes[cost.Idle]), seconds(l.Causes[cost.Draining]), seconds(l.Causes[cost.Unknown]), seconds(other), seconds(l.Lent), fmt.Sprint(l.Served),
		usd(l.USD, 4), usd(l.PerThousandRequests, 4), usd(l.PerMillionTokens, 2),
	}
}

func usd(v *float64, digits int) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.*f", digits, *v)
}
