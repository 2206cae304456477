package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"stoker.dev/stoker/scale"
)

// maxDiffering bounds the decisions that are shown: who has one to look at has enough.
const maxDiffering = 10

// replayed is what came of making recorded decisions again.
type replayed struct {
	Decisions int         `json:"decisions"`
	Functions int         `json:"functions"`
	Differing int         `json:"differing"`
	Shown     []differing `json:"shown,omitempty"` // the first of them
}

// differing is one that came out differently.
type differing struct {
	Line     int            `json:"line"`
	Function string         `json:"function"`
	Recorded scale.Decision `json:"recorded"`
	Anew     scale.Decision `json:"anew"`
}

// replay makes the decisions of a file again.
func (a *app) replay(in decideFlags, out format) error {
	if in.manifest != "" || in.state != "" || in.at != "" {
		return usageError{fmt.Errorf("--replay takes every decision as it was recorded: leave out --manifest, --state and --at")}
	}
	r, err := a.open(in.replay)
	if err != nil {
		return err
	}
	defer r.Close()
	got, err := replayAll(in.replay, r)
	if err != nil {
		return err
	}
	if err := out.print(a.out, got, func(w io.Writer) error { return sayReplayed(w, got) }); err != nil {
		return err
	}
	if got.Differing > 0 {
		return fmt.Errorf("%d of %d decisions come out differently: another version of stoker recorded them, or a decision depends on more than it was given", got.Differing, got.Decisions)
	}
	return nil
}

func replayAll(file string, r io.Reader) (replayed, error) {
	var got replayed
	names := map[string]bool{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxQuestion)
	for n := 1; lines.Scan(); n++ {
		var rec scale.Recorded
		if err := json.Unmarshal(lines.Bytes(), &rec); err != nil {
			return got, fmt.Errorf("%s:%d: not a recorded decision: %w; allowed: lines that stoker up --decisions wrote", file, n, err)
		}
		anew, same, err := rec.Again()
		if err != nil {
			return got, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		got.Decisions++
		names[rec.Function] = true
		if same {
			continue
		}
		if got.Differing++; got.Differing <= maxDiffering {
			got.Shown = append(got.Shown, differing{n, rec.Function, rec.Decision, anew})
		}
	}
	if err := lines.Err(); err != nil {
		return got, fmt.Errorf("%s: after %d decisions: %w", file, got.Decisions, err)
	}
	if got.Decisions == 0 {
		return got, fmt.Errorf("%s: no decision in it; allowed: what stoker up --decisions FILE wrote", file)
	}
	got.Functions = len(names)
	return got, nil
}

func sayReplayed(w io.Writer, r replayed) error {
	for _, d := range r.Shown {
		fmt.Fprintf(w, "line %d, %s: recorded %s target %d, %s; anew %s target %d, %s\n", d.Line, d.Function,
			d.Recorded.Phase, d.Recorded.Target, d.Recorded.Reason, d.Anew.Phase, d.Anew.Target, d.Anew.Reason)
	}
	_, err := fmt.Fprintf(w, "%d decisions of %d functions made again: %d the same, %d different\n", r.Decisions, r.Functions, r.Decisions-r.Differing, r.Differing)
	return err
}
