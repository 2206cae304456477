package jobs

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/functions"
)

// tellTurn is a plan in short, and after a bar who waits for what.
func tellTurn(p Plan, waiting []Waiting) string {
	var out []string
	for _, s := range p.Steps {
		text := fmt.Sprintf("%s %s %s %d", s.Action, s.Job, s.Reason, s.Inputs.GPUs)
		if s.For != "" {
			text += " for " + s.For
		}
		if s.Later {
			text += " later"
		}
		if len(s.Nodes) > 0 {
			text += " on " + strings.Join(s.Nodes, "+")
		}
		if s.Lent > 0 {
			text += fmt.Sprintf(" lent %d for %v", s.Lent, s.Until.Sub(now))
		}
		if !s.KillAt.IsZero() {
			text += fmt.Sprintf(" within %v", s.KillAt.Sub(now))
		}
		out = append(out, text)
	}
	text := strings.Join(out, ", ")
	for i, w := range waiting {
		sep := ", "
		if i == 0 {
			sep = " | "
		}
		text += fmt.Sprintf("%s%d %s %s %d", sep, w.Position, w.Job, w.Block, w.Lacks)
		if len(w.Holders) > 0 {
			text += " by " + strings.Join(w.Holders, "+")
		}
	}
	return text
}

// with changes jobs of a snapshot, named a, b, c … in their order.
func (s Snapshot) with(changes map[string]func(*Job)) Snapshot {
	for i := range s.Jobs {
		if change := changes[s.Jobs[i].ID]; change != nil {
			change(&s.Jobs[i])
		}
	}
	return s
}

func inQueue(name string) func(*Job) { return func(j *Job) { j.Queue = name } }

// queues are a and b with so many GPUs guaranteed, and so many to borrow.
func (s Snapshot) queued(share, borrow int) Snapshot {
	s.Queues = []Queue{{Name: "a", Share: share, Borrow: borrow}, {Name: "b", Share: share, Borrow: borrow}}
	return s
}

// onNodes are nodes of so many GPUs, called n1, n2 …; a product may follow a number after a colon.
func (s Snapshot) onNodes(nodes ...string) Snapshot {
	for i, text := range nodes {
		size, product, _ := strings.Cut(text, ":")
		n := Node{Name: fmt.Sprintf("n%d", i+1), Product: product}
		if _, err := fmt.Sscan(size, &n.GPUs); err != nil {
			panic(err)
		}
		s.Nodes = append(s.Nodes, n)
	}
	return s
}

func (s Snapshot) lent(offers ...Offer) Snapshot {
	s.Lender.Offers = offers
	return s
}

func offer(gpus int, d time.Duration) Offer { return Offer{GPUs: gpus, Until: now.Add(d)} }

func borrower(j *Job) {
	j.Borrow, j.GiveBack, j.Drain = functions.UseAllowed, 30*time.Second, 10*time.Second
}

// onLoan is a running borrower all of whose GPUs are lent.
func onLoan(d time.Duration) func(*Job) {
	return func(j *Job) {
		borrower(j)
		j.Lent, j.LentUntil = j.GPUs, now.Add(d)
	}
}

func elastic(sizes ...int) func(*Job) { return func(j *Job) { j.Sizes, j.Ranks = sizes, j.GPUs } }

type changes = map[string]func(*Job)

// both does two things to a job.
func both(f, g func(*Job)) func(*Job) { return func(j *Job) { f(j); g(j) } }

// goldenTurns are what stoker does about queues, nodes, loans and sizes.
var goldenTurns = []struct {
	name     string
	snapshot func() Snapshot
	want     string
}{
	{"jobs that leave are waited for", func() Snapshot {
		return snapshot(8, "8 0s 0s 48h", "4 1s").with(changes{"a": func(j *Job) { j.Leaving = true }})
	}, "admit b ahead 4 later | 1 b leaving 4 by a"},
	{"a queue gets its guarantee back from who borrowed it", func() Snapshot {
		return snapshot(8, "6 0s 0s 1h", "4 1s", "2 2s").queued(4, 4).with(changes{"a": inQueue("a"), "b": inQueue("b"), "c": inQueue("a")})
	}, "preempt a outranked 6 for b, admit b ahead 4 later, admit c pass 2 | 1 b leaving 2 by a"},
	{"no queue holds more than it may", func() Snapshot {
		return snapshot(8, "4 0s 0s 1m", "2 1s", "1 1s").queued(4, 1).with(changes{"a": inQueue("a"), "b": inQueue("a"), "c": inQueue("a")})
	}, "admit c turn 1 | 1 b quota 0"},
	{"what is left over goes to the queue that has had less", func() Snapshot {
		s := snapshot(4, "4 2s", "4 1s").queued(0, Unlimited).with(changes{"a": inQueue("a"), "b": inQueue("b")})
		s.Queues[0].Usage = Usage{GPUSeconds: 1e6, Counted: now}
		return s
	}, "admit b turn 4 | 1 a gpus 0"},
	{"a weight makes up for it", func() Snapshot {
		s := snapshot(4, "4 2s", "4 1s").queued(0, Unlimited).with(changes{"a": inQueue("a"), "b": inQueue("b")})
		s.Queues[0].Usage, s.Queues[0].Weight = Usage{GPUSeconds: 1e6, Counted: now}, 1000
		return s
	}, "admit a turn 4 | 1 b gpus 0"},
	{"a queue that does not exist", func() Snapshot {
		return snapshot(8, "1 1s").queued(4, 4).with(changes{"a": inQueue("c")})
	}, " | 1 a never 0"},
	{"a higher priority first", func() Snapshot {
		return snapshot(4, "4 2s", "4 1s").with(changes{"b": func(j *Job) { j.Priority = 1 }})
	}, "admit b turn 4 | 1 a gpus 0"},
	{"who has least to lose makes room", func() Snapshot {
		return snapshot(8, "4 0s 0s 48h", "4 0s 0s 50h", "4 1s").with(changes{
			"a": func(j *Job) { j.Saved = now.Add(-time.Minute) }, "b": func(j *Job) { j.Saved = now.Add(-2 * time.Hour) },
		})
	}, "preempt a outranked 4 for c, admit c ahead 4 later | 1 c leaving 4 by a"},
	{"a lower priority makes room before that", func() Snapshot {
		return snapshot(8, "4 0s 0s 48h", "4 0s 0s 50h", "4 1s").with(changes{
			"a": func(j *Job) { j.Saved = now.Add(-time.Minute) }, "b": func(j *Job) { j.Saved, j.Priority = now.Add(-2*time.Hour), -1 },
		})
	}, "preempt b outranked 4 for c, admit c ahead 4 later | 1 c leaving 4 by b"},
	{"nobody leaves who is not needed", func() Snapshot {
		return snapshot(9, "1 0s 0s 49h", "8 0s 0s 48h", "8 1s").with(changes{"a": func(j *Job) { j.Priority = -1 }})
	}, "preempt b outranked 8 for c, admit c ahead 8 later | 1 c leaving 8 by b"},
	{"ranks lie on as few nodes as they can", func() Snapshot {
		return snapshot(24, "8 1s").onNodes("4", "8", "6").with(changes{"a": func(j *Job) { j.Ranks = 2 }})
	}, "admit a turn 8 on n2+n2"},
	{"a gang is of one product, the preferred first", func() Snapshot {
		return snapshot(16, "8 1s").onNodes("8:H100", "4:A100", "4:A100").with(changes{
			"a": func(j *Job) { j.Ranks, j.Products = 2, []string{"A100", "H100"} },
		})
	}, "admit a turn 8 on n2+n3"},
	{"nodes are avoided", func() Snapshot {
		return snapshot(16, "8 1s").onNodes("8", "8").with(changes{"a": func(j *Job) { j.Avoid = []string{"n1"} }})
	}, "admit a turn 8 on n2"},
	{"enough GPUs that do not lie together", func() Snapshot {
		return snapshot(16, "4 0s 0s 1m", "4 0s 0s 1m", "8 1s").onNodes("8", "8").with(changes{
			"a": func(j *Job) { j.On = []string{"n1"} }, "b": func(j *Job) { j.On = []string{"n2"} },
		})
	}, " | 1 c nodes 0"},
	{"who is in the way makes room", func() Snapshot {
		return snapshot(16, "4 0s 0s 48h", "4 0s 0s 50h", "8 1s").onNodes("8", "8").with(changes{
			"a": func(j *Job) { j.On = []string{"n1"} }, "b": func(j *Job) { j.On = []string{"n2"} },
		})
	}, "preempt b outranked 4 for c, admit c ahead 8 later on n2 | 1 c leaving 0"},
	{"no node is large enough", func() Snapshot { return snapshot(16, "16 1s").onNodes("8", "8") }, " | 1 a never 0"},

	{"a loan for what is missing", func() Snapshot {
		return snapshot(2, "4 1s").lent(offer(4, time.Hour)).with(changes{"a": borrower})
	}, "admit a loan 4 lent 2 for 1h0m0s"},
	{"the longest loan there is", func() Snapshot {
		return snapshot(0, "4 1s").lent(offer(8, time.Hour), offer(4, 6*time.Hour)).with(changes{"a": borrower})
	}, "admit a loan 4 lent 4 for 6h0m0s"},
	{"no loan that is not worth it", func() Snapshot {
		return snapshot(0, "4 1s").lent(offer(4, 2*time.Minute)).with(changes{"a": borrower})
	}, " | 1 a gpus 4"},
	{"no loan to who has not said so", func() Snapshot {
		return snapshot(0, "4 1s").lent(offer(4, time.Hour))
	}, " | 1 a never 4"},
	{"no loan to who was measured to leave too slowly", func() Snapshot {
		return snapshot(0, "4 1s").lent(offer(4, time.Hour)).with(changes{"a": both(borrower, func(j *Job) { j.Drain = time.Minute })})
	}, " | 1 a gpus 4"},
	{"no loan beyond the lender's patience", func() Snapshot {
		s := snapshot(0, "4 1s").lent(offer(4, time.Hour)).with(changes{"a": borrower})
		s.Lender.Tolerance = 20 * time.Second
		return s
	}, " | 1 a gpus 4"},
	{"only on loan", func() Snapshot {
		return snapshot(8, "4 1s").with(changes{"a": both(borrower, func(j *Job) { j.Borrow = functions.UseOnly })})
	}, " | 1 a loan 0"},
	{"who borrows makes room first", func() Snapshot {
		return snapshot(8, "4 0s 0s 50h", "4 0s 0s 48h", "4 1s").lent(offer(4, time.Hour)).with(changes{
			"b": both(onLoan(time.Hour), func(j *Job) { j.Lent = 2 }),
		})
	}, "preempt b outranked 4 for c, admit c ahead 4 later | 1 c leaving 2 by b"},
	{"what the lender wants is recalled", func() Snapshot {
		return snapshot(4, "4 0s 0s 1h", "4 0s 0s 1h", "4 0s 0s 1h").lent(offer(4, time.Hour)).with(changes{
			"b": onLoan(time.Hour), "c": both(onLoan(time.Hour), func(j *Job) { j.Priority = 1 }),
		})
	}, "recall b wanted 4 within 30s"},
	{"own GPUs take the place of lent ones", func() Snapshot {
		return snapshot(4, "4 0s 0s 1h").with(changes{"a": onLoan(time.Hour)})
	}, "redeem a idle 4"},
	{"a loan goes on", func() Snapshot {
		return snapshot(4, "4 0s 0s 1h", "4 0s 0s 1h").lent(offer(4, time.Hour)).with(changes{"b": onLoan(9 * time.Second)})
	}, "extend b loan 4 lent 4 for 1h0m0s"},
	{"a loan ends", func() Snapshot {
		return snapshot(4, "4 0s 0s 1h", "4 0s 0s 1h").lent(offer(4, 9*time.Second)).with(changes{"b": onLoan(9 * time.Second)})
	}, "recall b loan-over 4 within 30s"},

	{"what is left over goes to an elastic job", func() Snapshot {
		return snapshot(8, "2 1s").with(changes{"a": elastic(2, 4, 6)})
	}, "admit a turn 6"},
	{"as much as its goal asks for", func() Snapshot {
		return snapshot(8, "2 1s").with(changes{"a": both(elastic(2, 4, 6), func(j *Job) { j.Wish = 4 })})
	}, "admit a turn 4"},
	{"it does not keep others out", func() Snapshot {
		return snapshot(6, "2 2s", "4 1s").with(changes{"a": elastic(2, 4, 6)})
	}, "admit a turn 2, admit b turn 4"},
	{"it shrinks before it leaves", func() Snapshot {
		return snapshot(8, "8 0s 0s 48h", "4 1s").with(changes{"a": elastic(2, 4, 8)})
	}, "resize a smaller 4 for b, admit b ahead 4 later | 1 b leaving 4 by a"},
	{"it grows when nobody waits", func() Snapshot {
		return snapshot(8, "2 0s 0s 48h").with(changes{"a": elastic(2, 4, 6)})
	}, "resize a idle 6"},
	{"it grows to what its goal asks for", func() Snapshot {
		return snapshot(8, "2 0s 0s 48h").with(changes{"a": both(elastic(2, 4, 6), func(j *Job) { j.Wish = 4 })})
	}, "resize a goal 4"},
	{"as far as there is room, if that saves enough", func() Snapshot {
		return snapshot(5, "2 0s 0s 48h").with(changes{"a": both(elastic(2, 4, 6), func(j *Job) { j.Wish, j.Rest = 6, time.Hour })})
	}, "resize a goal 4"},
	{"and not for little", func() Snapshot {
		return snapshot(5, "2 0s 0s 48h").with(changes{"a": both(elastic(2, 4, 6), func(j *Job) { j.Wish, j.Rest = 6, time.Minute })})
	}, ""},
	{"what is more than its goal asks for is given up", func() Snapshot {
		return snapshot(8, "6 0s 0s 48h").with(changes{"a": both(elastic(2, 4, 6), func(j *Job) { j.Wish = 4 })})
	}, "resize a goal 4"},
	{"to who waits", func() Snapshot {
		return snapshot(8, "8 0s 0s 48h", "4 1s").with(changes{"a": both(elastic(2, 4, 8), func(j *Job) { j.Wish = 4 })})
	}, "resize a goal 4, admit b ahead 4 later | 1 b leaving 4 by a"},
	{"not before the last restart is worked for", func() Snapshot {
		return snapshot(8, "6 0s 0s 1m").with(changes{"a": both(elastic(2, 4, 6), func(j *Job) { j.Wish = 4 })})
	}, ""},
	{"nor on a loan, which it might not get again", func() Snapshot {
		return snapshot(0, "8 0s 0s 48h").lent(offer(8, time.Hour)).with(changes{"a": both(both(onLoan(time.Hour), elastic(4, 8)), func(j *Job) { j.Wish = 4 })})
	}, ""},
	{"it comes back first", func() Snapshot {
		return snapshot(8, "2 10h", "4 0s 1h").with(changes{"b": both(elastic(2, 4), func(j *Job) { j.Resizing = 4 })})
	}, "admit b back 4, admit a turn 2"},
	{"a part of a loan goes back", func() Snapshot {
		return snapshot(0, "8 0s 0s 1h").lent(offer(6, time.Hour)).with(changes{"a": both(onLoan(time.Hour), elastic(2, 4, 6, 8))})
	}, "resize a wanted 6 within 30s"},

	{"until it fits nobody else is admitted who would then be in its way", func() Snapshot {
		return snapshot(8, "1 0s 0s 1m", "8 24h 1h", "4 1s").with(changes{"a": func(j *Job) { j.MinRuntime = time.Hour }})
	}, "admit c pass 4 | 1 b gpus 1 by a"},
	{"nobody who could not make room in time", func() Snapshot {
		return snapshot(8, "1 0s 0s 1m", "8 24h 1h", "4 1s").with(changes{
			"a": func(j *Job) { j.MinRuntime = time.Hour }, "c": func(j *Job) { j.Preemptible = false },
		})
	}, " | 1 b gpus 1 by a, 2 c reserved 0"},
	{"a job that is never preempted does not empty the pool", func() Snapshot {
		return snapshot(8, "1 0s 0s 1m", "8 24h 1h", "4 1s").with(changes{"a": func(j *Job) { j.Preemptible = false }})
	}, "admit c pass 4 | 1 b gpus 1 by a"},
}

func TestEveryBlockIsExplained(t *testing.T) {
	for _, b := range Blocks() {
		named := slices.ContainsFunc(goldenTurns, func(c struct {
			name     string
			snapshot func() Snapshot
			want     string
		}) bool {
			return strings.Contains(c.want, " "+string(b)+" ")
		})
		if b.Meaning() == "" || !named {
			t.Errorf("block %q: meaning %q, in a case %t", b, b.Meaning(), named)
		}
	}
	if Block("x").Meaning() != "" {
		t.Error("a block outside the set has a meaning")
	}
}

// TestEstimatesNeedJobsThatEnded: when a job may start is told from jobs like those that are in its
// way, and not at all where there were none.
func TestEstimatesNeedJobsThatEnded(t *testing.T) {
	s := snapshot(4, "4 0s 0s 1m", "4 2s", "4 1s")
	start := func(h *History) (out []time.Time) {
		_, waiting := Explain(h, s)
		for _, w := range waiting {
			out = append(out, w.Start)
		}
		return out
	}
	if got := start(&History{}); len(got) != 2 || !got[0].IsZero() || !got[1].IsZero() {
		t.Errorf("nothing learned, and they start at %v", got)
	}
	h := &History{}
	for range 1000 {
		h.Learn(Job{User: "u", GPUs: 4, Started: now.Add(-10 * time.Minute)}, now)
	}
	got := start(h)
	if first := got[0].Sub(now); first < 5*time.Minute || first > 15*time.Minute {
		t.Errorf("in %v; one like it has run for a minute, and such jobs run for ten", first)
	}
	if second := got[1].Sub(got[0]); second < 8*time.Minute || second > 15*time.Minute {
		t.Errorf("the next one %v later, want about ten minutes", second)
	}
}

// TestUsageIsCountedExactly: however often, and half of it after the half-life.
func TestUsageIsCountedExactly(t *testing.T) {
	once := Usage{}.Add(0, now).Add(4, now.Add(10*time.Hour))
	often := Usage{}.Add(0, now)
	for i := range 600 {
		often = often.Add(4, now.Add(time.Duration(i+1)*time.Minute))
	}
	if got, want := often.GPUSeconds, once.GPUSeconds; math.Abs(got/want-1) > 1e-9 {
		t.Errorf("in 600 steps %v, in one %v", got, want)
	}
	if got := once.At(now.Add(10*time.Hour + UsageHalfLife)); math.Abs(got/once.GPUSeconds-0.5) > 1e-9 {
		t.Errorf("after the half-life %v of %v", got, once.GPUSeconds)
	}
	if most := 4 * (10 * time.Hour).Seconds(); once.GPUSeconds > most || once.GPUSeconds < 0.9*most {
		t.Errorf("%v GPU-seconds of %v", once.GPUSeconds, most)
	}
}
