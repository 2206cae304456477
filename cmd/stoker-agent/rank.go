package main

import (
	"cmp"
	"fmt"
	"os"
	"sync"
	"time"

	"stoker.dev/stoker/cmd/stoker-agent/rank"
	"stoker.dev/stoker/cmd/stoker-agent/server"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/job/contract"
)

// reportsEvery is how often the progress file is looked at, and so how late a committed checkpoint
// is told of. A look at a file that has not grown takes some microseconds.
const reportsEvery = 200 * time.Millisecond

// barrier is where a rank waits until its whole gang is there.
type barrier struct {
	once    sync.Once
	passed  chan struct{}   // closed when it is open
	opening *events.Opening // what came with the order; set before passed is closed
}

func newBarrier() barrier { return barrier{passed: make(chan struct{})} }

func (b *barrier) open(o *events.Opening) { b.once.Do(func() { b.opening = o; close(b.passed) }) }

// rankControl takes an order to the agent of a rank.
func (a *agent) rankControl(c events.Control) (string, error) {
	if c.Generation != a.c.Rank.Generation {
		return "", fmt.Errorf("op %q is for generation %d of the gang, this rank is of generation %d", c.Op, c.Generation, a.c.Rank.Generation)
	}
	switch c.Op {
	case events.OpOpen:
		if a.inPod() && c.Opening == nil {
			return "", fmt.Errorf("op %q: its opening is missing, without which this rank does not know the others", c.Op)
		}
		a.barrier.open(c.Opening)
		return "", nil
	case events.OpFind:
		return a.pod.answer()
	case events.OpNotice:
		seconds := min(c.GraceSeconds, functions.MaxJobGrace.Seconds())
		a.drain(order{grace: time.Duration(seconds * float64(time.Second)), cause: job.Cause(c.Cause)})
		return "", nil
	case events.OpSave:
		if said := a.rank.Said(); said.Started.IsZero() || said.End != nil {
			return "", fmt.Errorf("op %q: the program of this rank does not run", c.Op)
		}
		return "", rank.AskToSave(a.c.Rank.SaveFile)
	default:
		return "", fmt.Errorf("op %q is unknown, allowed to a rank: %s, %s, %s, %s", c.Op, events.OpOpen, events.OpNotice, events.OpSave, events.OpFind)
	}
}

// train waits at the barrier, runs the program of a rank, and returns when that is gone with all it
// started.
func (a *agent) train() end {
	if err := a.arrive(); err != nil {
		return a.refuse(err)
	}
	a.phase(events.PhaseLoading)
	select {
	case <-a.barrier.passed:
	case <-a.drains:
		now := time.Now()
		a.rank.Noticed(now)
		a.rank.Ended(events.RankEnd{At: now, ByUs: true})
		return end{cause: events.CauseDrained, message: "told to go before its gang began"}
	}
	if err := a.opened(); err != nil {
		return a.refuse(err)
	}
	srv, err := server.Start(server.Options{
		Command: a.c.Command, Dir: a.c.WorkingDir, LogFile: a.c.LogFile, Output: a.output(),
		Env: server.Env(a.c, os.Environ(), 0), Secrets: server.Secrets(a.c),
	})
	if err != nil {
		return a.refuse(err)
	}
	a.rank.Started(time.Now())
	a.beater.serverPID(srv.PID())
	a.phase(events.PhaseReady)
	t := training{a: a, srv: srv, tail: rank.NewTail(a.c.Rank.ProgressFile)}
	t.run()
	return t.end()
}

// refuse ends a rank whose program cannot be started.
func (a *agent) refuse(err error) end {
	a.rank.Ended(events.RankEnd{At: time.Now(), Refused: err.Error()})
	return end{code: exitSpawn, cause: events.CauseSpawnFailed, message: err.Error()}
}

// training is the program of a rank while it runs.
type training struct {
	a       *agent
	srv     *server.Server
	tail    *rank.Tail
	blind   bool // the progress file cannot be read, and that was logged
	killAt  time.Time
	overdue <-chan time.Time // of killAt; nil: it was not told to go
}

// run returns when the main process ended, or has to be killed.
func (t *training) run() {
	looks := time.NewTicker(reportsEvery)
	defer looks.Stop()
	for {
		select {
		case <-t.srv.Done():
			return
		case <-t.overdue:
			return
		case o := <-t.a.drains:
			t.notice(o)
		case <-looks.C:
			t.look()
		}
	}
}

// notice tells the program to go: by the file, and the first time by a signal. A later notice can
// only shorten its time, and a signal to us tells nothing new after any.
func (t *training) notice(o order) {
	now := time.Now()
	first, killAt := t.overdue == nil, now.Add(o.grace)
	if !first && (o.signal || !killAt.Before(t.killAt)) {
		return
	}
	t.killAt, t.overdue = killAt, time.After(o.grace)
	n := contract.NewNotice(job.Command{Do: job.Notify, Cause: cmp.Or(o.cause, job.CausePreempted), KillAt: killAt}, now)
	if err := replaceJSON(t.a.c.Rank.NoticeFile, n); err != nil {
		t.a.log.Error("notice not written: the program is told by signal only", "err", err)
	}
	if first {
		t.a.rank.Noticed(now)
		t.srv.Terminate()
		t.a.phase(events.PhaseDraining)
	}
}

// look reads what the program reported.
func (t *training) look() {
	urgent := false
	err := t.tail.Look(func(line []byte) {
		urgent = t.a.rank.Line(line, time.Now()) || urgent
	})
	if err != nil && !t.blind {
		t.a.log.Error("the progress of the program is not known", "err", err)
	}
	t.blind = err != nil
	if urgent {
		t.a.beater.now()
		t.a.clearOld()
	}
}

// end kills what is left, children that outlived the main process among it, since they hold its
// GPUs, and says how the main process ended.
func (t *training) end() end {
	err := t.srv.Stop(t.a.life, 0)
	t.look()
	t.tail.Close()
	if err != nil {
		return end{code: exitTreeAlive, cause: events.CauseKilled, message: err.Error()}
	}
	exit, noticed := t.srv.Exit(), t.overdue != nil
	t.a.rank.Ended(t.last(exit, noticed))
	switch {
	case noticed:
		return end{cause: events.CauseDrained, serverCode: exit.Code}
	case exit.Code == 0:
		return end{}
	default:
		return end{cause: crashCause(t.srv), serverCode: exit.Code, message: exit.String() + "\n" + t.srv.Tail()}
	}
}

// last is what is known of the end of the main process.
func (t *training) last(exit server.Exit, noticed bool) events.RankEnd {
	words, err := rank.LastWords(t.a.c.Rank.ErrorFile)
	if err != nil {
		t.a.log.Error("what the program said of its end is not known", "err", err)
	}
	e := events.RankEnd{
		At: exit.At, ExitCode: exit.Code, Signal: int(exit.Signal), ByUs: noticed,
		Error: server.Hide(words, server.Secrets(t.a.c)), Output: t.srv.Tail(),
	}
	if exit.OutOfMemory {
		e.OOMKills = 1 // one at least, and nobody tells how many
	}
	t.a.gpus.blame(t.a.life, &e)
	return e
}
