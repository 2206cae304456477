package scale

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/functions"
)

var update = flag.Bool("update", false, "rewrite the expected lines of the golden cases")

// origin is 0s in the golden cases.
var origin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// script is one golden case being run. Its language, line by line:
//
//	# a comment
//	spec k=v …             sets fields of the Spec; "pinned=-", "paused=no" unset them
//	at 5s k=v …            decides at that time; k=v and the indented lines below are the observation
//	  r1 a ready since=2s  a replica: ID, revision, phase
//	  exit r2 k=v …        a replica that ended unasked
//	  holder name n        somebody holding GPUs
//	explain                explains the last observation again
//	> …                    what is expected, rewritten by -update
type script struct {
	spec  Spec
	state State
	obs   Observation
	now   time.Time
	seen  map[Reason]bool
}

func TestDecideGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/decide/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden cases: %v", err)
	}
	seen := map[Reason]bool{}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runGolden(t, file, seen) })
	}
	for _, r := range Reasons() {
		if !seen[r] {
			t.Errorf("no golden case produces the reason %q", r)
		}
	}
}

func runGolden(t *testing.T, file string, seen map[Reason]bool) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := script{spec: Spec{Revision: "a", Max: 3, Slots: 1, Wait: 10 * time.Second, KeepAlive: AutoKeepAlive, GPUs: 1}, seen: seen}
	got, err := s.run(string(data))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := string(data); got != want && !*update {
		t.Errorf("%s differs (run with -update to accept)\n--- want\n%s\n--- got\n%s", file, want, got)
	}
}

// run returns the text with its expected lines replaced by what came out.
func (s *script) run(text string) (string, error) {
	var out []string
	var pending []string // the lines of the step being read
	flush := func() error {
		lines, err := s.step(pending)
		out, pending = append(append(out, pending...), lines...), nil
		return err
	}
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		switch {
		case strings.HasPrefix(line, ">"):
			continue
		case len(pending) > 0 && !strings.HasPrefix(line, "  "):
			if err := flush(); err != nil {
				return "", fmt.Errorf("step before line %d: %w", i+1, err)
			}
		}
		if strings.HasPrefix(line, "at ") || line == "explain" || strings.HasPrefix(line, "spec ") || len(pending) > 0 {
			pending = append(pending, line)
			continue
		}
		out = append(out, line)
	}
	err := flush()
	return strings.Join(out, "\n") + "\n", err
}

func (s *script) step(lines []string) ([]string, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	words := strings.Fields(lines[0])
	switch words[0] {
	case "spec":
		return nil, eachPair(words[1:], s.setSpec)
	case "explain":
		return s.explain(), nil
	}
	at, err := time.ParseDuration(words[1])
	if err != nil {
		return nil, err
	}
	s.now, s.obs = origin.Add(at), Observation{FreeGPUs: UnknownGPUs}
	if err := eachPair(words[2:], s.setObs); err != nil {
		return nil, err
	}
	for _, line := range lines[1:] {
		if err := s.detail(strings.Fields(line)); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
	}
	before := s.state.Epoch
	var d Decision
	s.state, d = Decide(s.spec, s.state, s.obs, s.now)
	s.seen[d.Reason], s.seen[d.Limit] = true, true
	s.obs.Exits, s.obs.Ended, s.obs.ColdStarts = nil, 0, nil // consumed
	return []string{s.format(d, before)}, nil
}

func (s *script) format(d Decision, before uint64) string {
	dash := func(v string) string {
		if v == "" {
			return "-"
		}
		return v
	}
	next := "-"
	if !d.Next.IsZero() {
		next = d.Next.Sub(origin).String()
	}
	epoch := "="
	if d.Epoch != before {
		epoch = strconv.FormatUint(d.Epoch, 10)
	}
	return fmt.Sprintf("> %s target=%d victims=%s reason=%s limit=%s wanted=%d next=%s epoch=%s",
		d.Phase, d.Target, dash(strings.Join(d.Victims, ",")), d.Reason, dash(string(d.Limit)), d.Wanted, next, epoch)
}

func (s *script) explain() []string {
	var out []string
	for _, line := range Explain(s.spec, s.state, s.obs, s.now) {
		out = append(out, fmt.Sprintf("> %s (%s): %s", line.Topic, line.Reason, line.Text))
	}
	return out
}

func eachPair(words []string, set func(k, v string) error) error {
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		if err := set(k, v); err != nil {
			return fmt.Errorf("%s: %w", w, err)
		}
	}
	return nil
}

func (s *script) setSpec(k, v string) (err error) {
	switch k {
	case "rev":
		s.spec.Revision = v
	case "min":
		s.spec.Min, err = strconv.Atoi(v)
	case "max":
		s.spec.Max, err = strconv.Atoi(v)
	case "slots":
		s.spec.Slots, err = strconv.Atoi(v)
	case "gpus":
		s.spec.GPUs, err = strconv.Atoi(v)
	case "wait":
		s.spec.Wait, err = time.ParseDuration(v)
	case "waitAt":
		s.spec.WaitAt, err = strconv.ParseFloat(v, 64)
	case "keepAlive":
		s.spec.KeepAlive = keepAliveOf(functions.KeepAlive(v))
	case "paused":
		s.spec.Paused = v != "no"
	case "deleting":
		s.spec.Deleting = true
	case "pinned":
		s.spec.Pinned = nil
		if v != "-" {
			s.spec.Pinned = new(int)
			*s.spec.Pinned, err = strconv.Atoi(v)
		}
	default:
		return fmt.Errorf("no such field of a spec")
	}
	return err
}

func (s *script) setObs(k, v string) (err error) {
	o := &s.obs
	switch k {
	case "pending":
		o.Pending = map[functions.Class]int{}
		o.Pending[functions.Standard], err = strconv.Atoi(v)
	case "inflight":
		o.InFlight, err = strconv.Atoi(v)
	case "refused":
		o.Refused, err = strconv.Atoi(v)
	case "late":
		o.Late, err = strconv.Atoi(v)
	case "free":
		o.FreeGPUs, err = strconv.Atoi(v)
	case "budget":
		o.Budget = new(int)
		*o.Budget, err = strconv.Atoi(v)
	case "share":
		o.Share = new(int)
		*o.Share, err = strconv.Atoi(v)
	case "ended":
		o.Ended, err = strconv.ParseUint(v, 10, 64)
	case "service":
		o.ServiceSec, err = strconv.ParseFloat(v, 64)
	case "cold":
		var d time.Duration
		d, err = time.ParseDuration(v)
		o.ColdStarts = append(o.ColdStarts, d)
	default:
		return fmt.Errorf("no such field of an observation")
	}
	return err
}

func (s *script) detail(words []string) error {
	switch words[0] {
	case "exit":
		e := Exit{ID: words[1], At: s.now, Cause: "crashed"}
		err := eachPair(words[2:], func(k, v string) error { return setExit(&e, k, v) })
		s.obs.Exits = append(s.obs.Exits, e)
		return err
	case "holder":
		n, err := strconv.Atoi(words[len(words)-1])
		s.obs.Holders = append(s.obs.Holders, Holder{Who: strings.Join(words[1:len(words)-1], " "), GPUs: n})
		return err
	}
	r := Replica{ID: words[0], Revision: words[1], Phase: ReplicaPhase(words[2])}
	err := eachPair(words[3:], func(k, v string) error { return setReplica(&r, k, v) })
	s.obs.Replicas = append(s.obs.Replicas, r)
	return err
}

func setExit(e *Exit, k, v string) (err error) {
	switch k {
	case "cause":
		e.Cause = v
	case "message":
		e.Message = v
	case "rev":
		e.Revision = v
	case "ready":
		e.Ready = true
		e.ReadyFor, err = time.ParseDuration(v)
	case "served":
		e.Served, err = strconv.ParseUint(v, 10, 64)
	default:
		return fmt.Errorf("no such field of an exit")
	}
	return err
}

func setReplica(r *Replica, k, v string) (err error) {
	switch k {
	case "since":
		var d time.Duration
		d, err = time.ParseDuration(v)
		r.Since = origin.Add(d)
	case "inflight":
		r.InFlight, err = strconv.Atoi(v)
	case "served":
		r.Served, err = strconv.ParseUint(v, 10, 64)
	default:
		return fmt.Errorf("no such field of a replica")
	}
	return err
}
