package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/terminal"
	"stoker.dev/stoker/events"
)

// traceFlags say where requests come from: a file, or what a platform recorded.
type traceFlags struct {
	file            string
	recorded        bool
	function, since string
}

func (o *traceFlags) bind(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.file, "trace", "", "CSV file of requests, gzipped or not")
	f.BoolVar(&o.recorded, "record-from", false, "take what the platform recorded instead: the terminal records that it still has (results.retention)")
	f.StringVar(&o.function, "function", "", "with --record-from: only this function, NAME or NAMESPACE/NAME (default all, of all namespaces or that of --namespace)")
	f.StringVar(&o.since, "since", "", "with --record-from: how long ago (30m, 24h, 7d), a day (2026-11-27) or a time (2026-11-27T09:00:00Z) (default all that is kept)")
	c.MarkFlagsMutuallyExclusive("trace", "record-from")
}

// check finds what is wrong with them before anything is done.
func (o traceFlags) check(now time.Time) error {
	switch {
	case !o.recorded && o.file == "":
		return errors.New("--trace: name a CSV file of requests, or take what the platform recorded with --record-from")
	case !o.recorded && (o.function != "" || o.since != ""):
		return errors.New("--function and --since choose from what was recorded: add --record-from")
	case o.since != "":
		_, err := api.ParseSince(o.since, now)
		return err
	}
	return nil
}

// traceFile is the file to read. What was recorded is fetched into one, which done removes.
func (a *app) traceFile(c *cobra.Command, o traceFlags) (file string, done func(), err error) {
	if !o.recorded {
		return o.file, func() {}, nil
	}
	f := api.TraceFilter{Since: o.since}
	if c.Flags().Changed("namespace") {
		f.Namespace = a.namespace
	}
	if o.function != "" {
		k, err := a.key(o.function)
		if err != nil {
			return "", nil, err
		}
		f.Namespace, f.Function = k.Namespace, k.Name
	}
	folder, err := os.MkdirTemp("", "stoker-")
	if err != nil {
		return "", nil, err
	}
	file, done = filepath.Join(folder, "recorded.csv"), func() { _ = os.RemoveAll(folder) }
	if err := a.fetchTrace(c.Context(), f, file); err != nil {
		done()
		return "", nil, err
	}
	return file, done, nil
}

// fetchTrace writes what was recorded to a file, and says what that is.
func (a *app) fetchTrace(ctx context.Context, f api.TraceFilter, file string) error {
	cl, _, err := a.client()
	if err != nil {
		return err
	}
	body, s, err := cl.Trace(ctx, f)
	if err != nil {
		return err
	}
	defer body.Close()
	if s.Requests == 0 {
		return fmt.Errorf("nothing that ran to its end is recorded%s: a record is kept for its function's results.retention, an hour by default", skippedText(s.Skipped))
	}
	to, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, body); err != nil {
		return errors.Join(fmt.Errorf("fetch what was recorded: %w", err), to.Close())
	}
	fmt.Fprintf(terminal.Safe(a.err), "stoker: %s of %s recorded from %s to %s%s\n", count(s.Requests, "request"), count(s.Functions, "function"),
		s.First.Format(time.RFC3339), s.Last.Format(time.RFC3339), skippedText(s.Skipped))
	return to.Close()
}

// skippedText says how many records were left out, by how their requests ended.
func skippedText(skipped map[events.Status]int) string {
	var parts []string
	for status, n := range skipped {
		parts = append(parts, fmt.Sprintf("%d %s", n, status))
	}
	if len(parts) == 0 {
		return ""
	}
	slices.Sort(parts)
	return " (left out, since they did not run to their end: " + strings.Join(parts, ", ") + ")"
}
