package job_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

func time60(t *rapid.T) time.Duration {
	return time.Duration(rapid.Int64Range(1, int64(60*time.Second)).Draw(t, "moment"))
}

// anyEvidence draws how a rank ended.
func anyEvidence(t *rapid.T, rank int) *job.Evidence {
	e := &job.Evidence{Rank: rank, Node: fmt.Sprintf("n%d", rank), Ended: origin.Add(time60(t))}
	switch rapid.IntRange(0, 9).Draw(t, "end") {
	case 0, 1:
		e.ExitCode = 0
	case 2:
		e.ExitCode = rapid.SampledFrom([]int{1, 2, 75, 76, 77, 78, 127, 134, 137, 143}).Draw(t, "code")
	case 3:
		e.Signal, e.Sender = 9, job.SenderPlatform
	case 4:
		e.Signal = rapid.SampledFrom([]int{6, 9, 11, 15}).Draw(t, "signal")
	case 5:
		e.LastHeard = origin.Add(time60(t))
	case 6:
		e.Signal, e.OOMKills = 9, 1
	case 7:
		e.Signal, e.Xids = 6, []job.Xid{{Code: rapid.SampledFrom([]int{13, 31, 79, 94}).Draw(t, "xid"), At: origin.Add(time60(t))}}
	case 8:
		e.ExitCode = 1
		e.Error = &job.ProgramError{At: origin.Add(time60(t)), Message: rapid.SampledFrom([]string{"ValueError: x", "CUDA out of memory", "[Errno 28] No space left on device", "SignalException: 15"}).Draw(t, "error")}
	case 9:
		e.GivenUp = rapid.SampledFrom([]string{"", "no GPU is free there"}).Draw(t, "given up")
		e.ExitCode, e.Output = 1, "Watchdog caught collective operation timeout"
	}
	return e
}

// A case of testdata/life is one job:
//
//	spec k=v …               of its manifest: nodes, min, max, step, gpus, grace, minRuntime, user, infra, queueTimeout, maxRuntime, deadline, gpuHours, not-preemptible
//	at 5s KIND k=v …         an event, of the state's generation unless g= says another; end takes the keys and lines of testdata/verdict
func TestLifeGolden(t *testing.T) {
	phases, commands, news := map[job.Phase]bool{}, map[job.Do]bool{}, map[functions.JobEvent]bool{}
	golden(t, "life", func() func([]string) ([]string, error) {
		l := &life{news: news}
		return func(lines []string) ([]string, error) {
			out, err := l.answer(lines)
			phases[l.state.Phase] = true
			for _, c := range l.commands {
				commands[c.Do] = true
			}
			return out, err
		}
	})
	for _, p := range []job.Phase{
		job.Validated, job.Queued, job.Admitted, job.Placed, job.Barrier, job.Running, job.Checkpointing, job.Draining,
		job.Recovering, job.Paused, job.Succeeded, job.Failed, job.Cancelled, job.TimedOut, job.Rejected,
	} {
		if !phases[p] {
			t.Errorf("no golden case comes through %s", p)
		}
	}
	for _, e := range functions.JobEvents() {
		if !news[e] && e != functions.JobBudgetNear { // which only who knows prices can tell
			t.Errorf("no golden case tells people of %s", e)
		}
	}
	for _, d := range []job.Do{job.Enqueue, job.Dequeue, job.Bind, job.Start, job.Open, job.Notify, job.SaveNow, job.Kill, job.Release} {
		if !commands[d] {
			t.Errorf("no golden case has the command %s", d)
		}
	}
}

// life is one golden case being run.
type life struct {
	spec     functions.JobSpec
	state    job.State
	commands []job.Command
	news     map[functions.JobEvent]bool // of all cases
}

func (l *life) answer(lines []string) ([]string, error) {
	w := words(lines[0])
	if w[0] == "spec" {
		p := pairsOf(w[1:])
		l.spec = readSpec(p)
		l.state, l.commands = job.New(origin)
		return l.shown(), p.done()
	}
	now := at(w[1])
	p := pairsOf(w[3:])
	e := job.Event{Kind: job.Kind(w[2]), Generation: l.state.Generation, Nodes: p.number("nodes"), Cause: job.Cause(p.text("cause")), Step: int64(p.number("step")), Path: p.text("path"), Done: p.flag("done"), KillBy: p.moment("killBy")}
	if g := p.number("g"); g > 0 {
		e.Generation = uint64(g)
	}
	var err error
	if e.Kind == job.End {
		if e.Evidence, err = evidence(p, now, lines[1:]); err != nil {
			return nil, err
		}
		e.Rank = e.Evidence.Rank
	} else {
		e.Rank = p.number("rank")
	}
	if err := p.done(); err != nil {
		return nil, fmt.Errorf("%s: %w", lines[0], err)
	}
	was := l.state
	next, commands, refusal := job.Step(l.spec, l.state, e, now)
	l.state, l.commands = next, commands
	if refusal != nil {
		return []string{"> error: " + refusal.Error()}, nil //nolint:nilerr // 2026-11-28: what some scripts are about
	}
	if len(l.commands) == 0 && was.Phase == l.state.Phase && was.Cause == l.state.Cause {
		return []string{"> the same"}, nil
	}
	out := l.shown()
	if news, is := job.Announce(was, l.state); is {
		l.news[news] = true
		out = append(out, ">   people are told: "+string(news))
	}
	return out, nil
}

func (l *life) shown() []string {
	s := l.state
	next := "-"
	if t := job.Next(l.spec, s); !t.IsZero() {
		next = t.Sub(origin).String()
	}
	out := []string{fmt.Sprintf("> %s cause=%s generation=%d attempts=%d retries=%d+%d next=%s", s.Phase, s.Cause, s.Generation, s.Attempts, s.Used.User, s.Used.Infra, next)}
	for _, c := range l.commands {
		text := fmt.Sprintf(">   %s %d", c.Do, c.Generation)
		if c.Nodes > 0 {
			text += fmt.Sprintf(" nodes=%d", c.Nodes)
		}
		if c.Front {
			text += " front"
		}
		if len(c.Avoid) > 0 {
			text += " avoid=" + strings.Join(c.Avoid, ",")
		}
		if c.Do == job.Notify {
			text += fmt.Sprintf(" cause=%s killAt=%s", c.Cause, c.KillAt.Sub(origin))
		}
		out = append(out, text)
	}
	return out
}

func readSpec(p pairs) functions.JobSpec {
	var j functions.TrainingJob
	s := &j.Spec
	span := func(k string) functions.Duration {
		var d functions.Duration
		if v, found := p.take(k); found {
			if err := d.UnmarshalText([]byte(v)); err != nil {
				panic(err)
			}
		}
		return d
	}
	s.Resources.Nodes, s.Resources.GPUsPerNode = p.number("nodes"), p.number("gpus")
	s.Elastic = functions.Elastic{Min: p.number("min"), Max: p.number("max"), Step: p.number("step")}
	s.Preemption = functions.Preemption{Preemptible: !p.flag("not-preemptible"), Grace: span("grace"), MinRuntime: span("minRuntime")}
	s.Retry.UserErrors, s.Retry.InfraErrors = p.number("user"), p.number("infra")
	s.QueueTimeout, s.MaxRuntime, s.Deadline = span("queueTimeout"), span("maxRuntime"), span("deadline")
	s.Budget.MaxGPUHours = functions.Quantity(p.text("gpuHours"))
	return functions.DefaultJob(j).Spec
}

func TestStepRefusesWhatCanNeverBeRight(t *testing.T) {
	spec := readSpec(pairs{"nodes": "2"})
	s, _ := job.New(origin)
	s, _, _ = job.Step(spec, s, job.Event{Kind: job.Admit, Generation: 1, Nodes: 2}, origin)
	s, _, _ = job.Step(spec, s, job.Event{Kind: job.Place, Generation: 1}, origin)
	for name, e := range map[string]job.Event{
		"a kind that does not exist": {Kind: "restart"},
		"a rank beyond the gang":     {Kind: job.Arrive, Generation: 1, Rank: 2},
		"a negative rank":            {Kind: job.Silence, Generation: 1, Rank: -1},
		"an end without evidence":    {Kind: job.End, Generation: 1},
		"a cause that is none":       {Kind: job.Leave, Generation: 1, Cause: "whim"},
		"a size that is not allowed": {Kind: job.Leave, Generation: 1, Cause: job.CauseResized, Nodes: 3},
		"a refusal for no reason":    {Kind: job.Refused, Cause: job.CausePreempted},
	} {
		if _, commands, err := job.Step(spec, s, e, origin); !errors.Is(err, job.ErrEvent) || len(commands) > 0 {
			t.Errorf("%s: %v, %v", name, commands, err)
		}
	}
}

// Status calls that fail never restart a job, however many there are: SkyPilot #10155.
func TestUnreachableIsNotFailed(t *testing.T) {
	spec := readSpec(pairs{"nodes": "2", "infra": "10"})
	s, _ := job.New(origin)
	for _, e := range []job.Event{{Kind: job.Admit, Nodes: 2}, {Kind: job.Place}, {Kind: job.Arrive}, {Kind: job.Arrive, Rank: 1}} {
		e.Generation = 1
		s, _, _ = job.Step(spec, s, e, origin)
	}
	if s.Phase != job.Running {
		t.Fatalf("the gang is %s", s.Phase)
	}
	spent := s.Used
	for i := range 25 {
		now := origin.Add(time.Duration(i) * time.Minute)
		for _, k := range []job.Kind{job.Silence, job.Tick} {
			var commands []job.Command
			s, commands, _ = job.Step(spec, s, job.Event{Kind: k, Generation: 1, Rank: i % 2}, now)
			if s.Phase != job.Running || len(commands) > 0 || s.Used != spent {
				t.Fatalf("after %d failed calls: %s, %v", i+1, s.Phase, commands)
			}
		}
	}
	if got := s.Gang.Ranks[0].Silent; !got.Equal(origin) {
		t.Errorf("silent since %v", got)
	}
	s, _, _ = job.Step(spec, s, job.Event{Kind: job.Heard, Generation: 1}, origin)
	if !s.Gang.Ranks[0].Silent.IsZero() || s.Gang.Ranks[1].Silent.IsZero() {
		t.Errorf("after one was heard: %+v", s.Gang.Ranks)
	}
}

func TestEveryCauseHasAMeaning(t *testing.T) {
	seen := map[job.Cause]bool{}
	for _, c := range job.Causes() {
		if c.Meaning() == "" || seen[c] {
			t.Errorf("%q: meaning %q, twice %v", c, c.Meaning(), seen[c])
		}
		seen[c] = true
	}
	if job.Cause("whim").Meaning() != "" || job.Class("whim").Meaning() != "" {
		t.Error("what is outside of the sets has a meaning")
	}
}
