package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"stoker.dev/stoker/cmd/stoker/terminal"
)

// format is how a command prints: a table for people, or JSON or YAML for programs. It is a
// flag's value, so that a wrong one is refused before anything is done.
type format string

var formats = []string{"json", "yaml"}

func (f *format) bind(c *cobra.Command) {
	c.Flags().VarP(f, "output", "o", "json or yaml instead of text for people")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
}

// scope is whether a list is of one namespace or of all.
type scope bool

func (s *scope) bind(c *cobra.Command, what string) {
	c.Flags().BoolVarP((*bool)(s), "all-namespaces", "A", false, what)
}

// namespace is the one that is asked for; "" asks for all.
func (s scope) namespace(a *app) string {
	if s {
		return ""
	}
	return a.namespace
}

// String, Set and Type make format a flag's value.
func (f *format) String() string { return string(*f) }

// Set takes one of the formats.
func (f *format) Set(s string) error {
	if !slices.Contains(formats, s) {
		return fmt.Errorf("allowed: %s", strings.Join(formats, ", "))
	}
	*f = format(s)
	return nil
}

// Type is what the help calls the value.
func (f *format) Type() string { return "format" }

// print writes v for programs, or calls people for people. What people see may hold what others
// wrote, so it passes through the terminal's guard.
func (f format) print(w io.Writer, v any, people func(io.Writer) error) error {
	switch f {
	case "json":
		enc := json.NewEncoder(terminal.Text(w))
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	case "yaml":
		data, err := yaml.Marshal(v)
		if err != nil {
			return err
		}
		_, err = terminal.Text(w).Write(data)
		return err
	}
	return people(terminal.Safe(w))
}

// stream writes one value of many: a line of JSON, or a document of YAML.
func (f format) stream(w io.Writer, v any, people func(io.Writer) error) error {
	switch f {
	case "json":
		return json.NewEncoder(terminal.Text(w)).Encode(v)
	case "yaml":
		if _, err := io.WriteString(w, "---\n"); err != nil {
			return err
		}
	}
	return f.print(w, v, people)
}

// table writes rows in columns.
func table(w io.Writer, header string, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, strings.ReplaceAll(header, " ", "\t"))
	for _, r := range rows {
		cells := make([]string, len(r))
		for i, cell := range r {
			cells[i] = terminal.Line(cell)
		}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	}
	return tw.Flush()
}

// age is how long ago something was, in its largest unit.
func age(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := now.Sub(t)
	switch {
	case d < 0:
		return "0s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// msText prints milliseconds with a unit that reads well.
func msText(ms float64) string {
	switch {
	case ms <= 0:
		return "-"
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 10_000:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f s", ms/1000)
}

// clip shortens a text to one line of n characters.
func clip(s string, n int) string {
	line, _, more := strings.Cut(strings.TrimSpace(s), "\n")
	r := []rune(line)
	if len(r) > n || (more && len(r) == n) {
		r, more = r[:n-1], true
	}
	if more {
		r = append(r, '…')
	}
	return string(r)
}

// clock is a moment of today, in this machine's time.
func (a *app) clock(t time.Time) string { return t.In(a.now().Location()).Format("15:04:05.000") }

// count is a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return number(n) + " " + thing + "s"
}

func number(n int) string { return strconv.Itoa(n) }

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
