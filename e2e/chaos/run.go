package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/e2e/history"
	"stoker.dev/stoker/scale"
)

// Options of a run.
type Options struct {
	Seed     uint64
	Size     Size
	GPUs     int           // simulated
	Pace     time.Duration // between two requests
	Deadline time.Duration // of most requests
	Late     time.Duration // how long after its deadline a request may have its record
	Dir      string        // where history, schedule and, after a failure, the data directory are kept
}

// Late is the stated bound on a machine that is not starved: the agent that held a request may have been killed (the
// broker waits for events.AckWait, 10 s, before it gives the request to another), the next one may have to be started
// first (10 s after a restart), and it answers, or the controller does.
const Late = 30 * time.Second

// violationsShown bounds what a failed test prints; the history has them all.
const violationsShown = 20

// Run breaks a platform as the options say, and fails the test for every violation of its promises. It returns the
// summary of the history.
func Run(t *testing.T, o Options) history.Summary {
	t.Helper()
	b, err := openBook(filepath.Join(o.Dir, "history.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.close(); err != nil {
			t.Errorf("the history is not whole: %v", err)
		}
	})
	plan := NewPlan(o.Seed, o.Size)
	if err := os.WriteFile(filepath.Join(o.Dir, "schedule.txt"), []byte(Schedule(o.Seed, plan)), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %d: %d kills and %d stops; history and schedule are in %s", o.Seed, o.Size.Total(), o.Size.Stops, o.Dir)
	perform(t, o, b, plan)
	return judge(t, b, o)
}

// perform is the run itself, from an empty platform to an empty platform.
func perform(t *testing.T, o Options, b *book, plan []Step) {
	t.Helper()
	p := harness.Up(t, harness.Options{GPUs: o.GPUs, Dir: dataDir(t, o), Log: filepath.Join(o.Dir, "up.log")})
	deploy(p, b)
	c, err := startClient(p, b, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.abort)
	f := startFollower(p.JetStream(), b)
	t.Cleanup(f.stop)
	w := startWitness(p, b)
	t.Cleanup(w.stop)
	a := startAuditor(p.Dir, b, func(s datadir.Server) { c.reach(s.HTTP) })
	t.Cleanup(a.stop)
	d := &driver{t: t, p: p, b: b, w: w, o: o, hits: map[string]int{}}
	d.run(plan)
	t.Logf("all steps done: %v, %d missed", d.hits, d.missed)
	c.stop()
	t.Logf("all requests have an outcome; %d ticks were let go", c.missed)
	settle(t, p, b, o)
	atRest(t, p, b)
	if err := f.finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.note(history.Record{Kind: history.Closing})
	empty(t, p)
	a.stop()
	w.stop()
	gone(t, p, b)
	serverBooks(p, b)
	providerBooks(t, p, b)
	b.note(history.Record{Kind: history.Complete})
}

// dataDir is a new data directory, kept only if the test fails.
func dataDir(t *testing.T, o Options) string {
	t.Helper()
	dir := filepath.Join(o.Dir, "data")
	for _, old := range []string{dir, filepath.Join(o.Dir, "up.log")} {
		if err := os.RemoveAll(old); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if !t.Failed() {
			_ = os.RemoveAll(dir)
		}
	})
	return dir
}

// settleWait is how long the platform may take to come to rest once nobody asks for anything: the longest deadline of
// a request that was just sent, and the bound after it, or the longest pause of a function that failed and its probe.
func settleWait(o Options) time.Duration {
	return max(o.Deadline+o.Late, scale.BackoffMax+scale.SettleTime) + harness.Patience
}

// settle waits until no request waits or runs and every function but the steady ones is at rest. What does not come
// to rest is noted as left.
func settle(t *testing.T, p *harness.Platform, b *book, o Options) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), settleWait(o))
	defer cancel()
	tick := time.NewTicker(ledgerEvery)
	defer tick.Stop()
	for {
		restless := map[string]string{}
		for i := range functionsN {
			if f, err := p.API.Get(t.Context(), harness.Key(name(i))); err != nil || !resting(f, i < steadyN) {
				restless[name(i)] = brief(f, err)
			}
		}
		if len(restless) == 0 {
			return
		}
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		for name, how := range restless {
			t.Logf("%s does not come to rest: %s", name, how)
			b.note(history.Record{Kind: history.Left, What: "function that is not at rest", ID: name})
		}
		return
	}
}

// resting tells whether a function has nothing to do, and holds nothing but what it shall keep. One that failed too
// often rests too, if nobody asks: whoever does makes it try again.
func resting(f api.Function, steady bool) bool {
	waiting := f.InFlight
	for _, n := range f.Pending {
		waiting += n
	}
	nothing := len(f.Replicas) == 0 && (f.Phase == scale.PhaseZero || f.Phase == scale.PhaseFailing && f.Last.Wanted == 0)
	return waiting == 0 && (steady || nothing)
}

// brief is what is said of a function that does not come to rest.
func brief(f api.Function, err error) string {
	return fmt.Sprintf("%s, target %d, pending %v, in flight %d, blocked %q, trouble %q, replicas %+v, last %s of %d wanted, failures %d, back-off %v s, %v",
		f.Phase, f.Target, f.Pending, f.InFlight, f.Blocked, f.Trouble, f.Replicas, f.Last.Reason, f.Last.Wanted, f.Last.Inputs.Failures, f.Last.Inputs.BackoffSec, err)
}

// empty deletes every function.
func empty(t *testing.T, p *harness.Platform) {
	t.Helper()
	for i := range functionsN {
		if err := p.API.Delete(t.Context(), harness.Key(name(i))); err != nil {
			t.Errorf("delete %s: %v", name(i), err)
		}
	}
	for i := range functionsN {
		p.AwaitGone(name(i))
	}
}

// judge checks the history.
func judge(t *testing.T, b *book, o Options) history.Summary {
	t.Helper()
	all := b.all()
	s := history.Summarise(all)
	t.Logf("%s", s)
	found := history.Check(all, history.Bounds{Late: o.Late})
	for i, v := range found {
		if i == violationsShown {
			t.Errorf("and %d more", len(found)-i)
			break
		}
		t.Error(v)
	}
	t.Logf("%d violations", len(found))
	return s
}
