package chaos

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/e2e/history"
)

const (
	// victimWait is how long a step waits for a process to hit: with nothing running, requests are about to start some.
	victimWait = 15 * time.Second
	// victimEvery is how often it looks.
	victimEvery = 20 * time.Millisecond
	// recoverEach is of how many kills of the platform one comes at once, also while it starts. Before the others it
	// gets recoverWait to serve recoverN answers.
	recoverEach = 4
	recoverN    = 10
	recoverWait = 20 * time.Second
	// breath is how long a step waits for one answer since the step before: on a machine where a start takes seconds,
	// a kill each half second would show nothing but starts.
	breath = 3 * time.Second
	// progressEach is after how many steps the driver says how far it is.
	progressEach = 25
)

// driver follows a plan.
type driver struct {
	t *testing.T
	p *harness.Platform
	b *book
	w *witness
	o Options

	freezes sync.WaitGroup
	hits    map[string]int // by what and program
	answers int64          // there were at the step before
	missed  int
}

// run does every step. It returns with the platform ready and nothing stopped.
func (d *driver) run(plan []Step) {
	for i, s := range plan {
		<-time.After(s.Pause)
		d.breathe(s)
		d.do(s)
		if (i+1)%progressEach == 0 {
			d.t.Logf("%d of %d steps; %v, %d missed; %d records in the history", i+1, len(plan), d.hits, d.missed, len(d.b.all()))
		}
	}
	d.freezes.Wait()
	d.p.AwaitReady()
}

// breathe lets the platform get somewhere before a step.
func (d *driver) breathe(s Step) {
	n, most := int64(1), breath
	if s.Program == history.Platform && s.Pick%recoverEach != 0 {
		d.p.AwaitReady()
		n, most = recoverN, recoverWait
	}
	end := time.NewTimer(most)
	defer end.Stop()
	tick := time.NewTicker(victimEvery)
	defer tick.Stop()
	for wait := true; wait && d.b.answers.Load() < d.answers+n; {
		select {
		case <-tick.C:
		case <-end.C:
			wait = false
		}
	}
	d.answers = d.b.answers.Load()
}

func (d *driver) do(s Step) {
	switch {
	case s.What == row:
		for range s.N {
			d.restart(func() {})
			d.p.AwaitReady()
		}
	case s.What == wipe:
		d.restart(d.wipe)
		d.p.AwaitReady()
	case s.What == history.Stop:
		d.freeze(s)
	case s.Program == history.Platform:
		d.restart(func() {})
	default:
		d.kill(s)
	}
}

// hit notes a fault before it is done, so that whatever it causes comes later in the history.
func (d *driver) hit(what string, victim history.Record) {
	d.hits[what+" "+victim.Program]++
	d.b.note(history.Record{Kind: history.Fault, What: what, Program: victim.Program, Replica: victim.Replica, PID: victim.PID})
}

// restart kills the platform and starts it again, without waiting until it serves: the next step may hit it while it
// starts.
func (d *driver) restart(between func()) {
	d.hit(history.Kill, history.Record{Program: history.Platform, PID: d.p.PID()})
	d.p.Kill9()
	between()
	d.p.Launch()
	d.hit(history.Start, history.Record{Program: history.Platform, PID: d.p.PID()})
}

// wipe deletes Temporal's database.
func (d *driver) wipe() {
	files, err := filepath.Glob(filepath.Join(d.p.Dir, "temporal*"))
	if err != nil || len(files) == 0 {
		d.t.Errorf("no database of Temporal's to delete: %v", err)
	}
	for _, f := range files {
		if err := os.RemoveAll(f); err != nil {
			d.t.Error(err)
		}
	}
	d.hit(history.Wipe, history.Record{Program: history.Platform})
}

func (d *driver) kill(s Step) {
	v, ok := d.victim(s)
	if !ok {
		d.missed++
		return
	}
	d.hit(history.Kill, v)
	if !d.w.signal(v.PID, unix.SIGKILL) {
		d.missed++ // it ended in this moment
	}
}

// victim waits for a process of the step's program.
func (d *driver) victim(s Step) (history.Record, bool) {
	deadline := time.NewTimer(victimWait)
	defer deadline.Stop()
	tick := time.NewTicker(victimEvery)
	defer tick.Stop()
	for {
		if all := d.w.living(s.Program); len(all) > 0 {
			return all[int(s.Pick)%len(all)], true
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return history.Record{}, false
		}
	}
}

// freeze stops a process, and lets it go on later, beside the next steps.
func (d *driver) freeze(s Step) {
	if s.Program == history.Platform {
		d.freezePlatform()
		return
	}
	v, ok := d.victim(s)
	if !ok {
		d.missed++
		return
	}
	d.hit(history.Stop, v)
	d.w.signal(v.PID, unix.SIGSTOP)
	d.later(func() {
		d.w.signal(v.PID, unix.SIGCONT)
		d.b.note(history.Record{Kind: history.Fault, What: history.Cont, Program: v.Program, Replica: v.Replica, PID: v.PID})
	})
}

// freezePlatform stops the platform once it serves: before that it could not be told from one that does not start.
func (d *driver) freezePlatform() {
	d.p.AwaitReady()
	pid := d.p.PID()
	d.hit(history.Stop, history.Record{Program: history.Platform, PID: pid})
	harness.Signal(d.t, pid, unix.SIGSTOP)
	<-time.After(d.o.Size.Freeze)
	harness.Signal(d.t, pid, unix.SIGCONT)
	d.b.note(history.Record{Kind: history.Fault, What: history.Cont, Program: history.Platform, PID: pid})
}

func (d *driver) later(do func()) {
	d.freezes.Go(func() {
		<-time.After(d.o.Size.Freeze)
		do()
	})
}
