package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// TestCrashOfAnAttachedServerBurnsNothing kills a server with two requests in flight and eighteen
// that wait: those two have an attempt counted, and everything ends well elsewhere.
func TestCrashOfAnAttachedServerBurnsNothing(t *testing.T) {
	w := newWorld(t, nil)
	p, m, _ := w.attached(t, "r1", "")
	const n, slots = 20, 2
	for i := range n {
		do := wish{}
		if i < slots { // those that are pulled first, and only the first time
			do = wish{Do: "hang", File: filepath.Join(w.dir, fmt.Sprintf("once%d", i))}
		}
		w.publish(functions.Standard, ask(fmt.Sprintf("q%d", i), do))
	}
	w.awaitBeat("r1", "both slots taken", func(hb events.Heartbeat) bool { return hb.InFlight == slots })
	m.kill()
	hb := w.stays(p, events.CauseCrashed)
	if hb.Totals.Failed != 2 || hb.Totals.Served != 0 || hb.InFlight != 0 {
		t.Errorf("totals %+v, in flight %d", hb.Totals, hb.InFlight)
	}
	want := append([]int{1, 1}, make([]int, n-slots)...)
	if got := w.failures(n); !slices.Equal(got, want) {
		t.Errorf("failures %v, want %v", got, want)
	}
	w.attached(t, "r2", "")
	for i, failures := range want {
		if rec := w.record(fmt.Sprintf("q%d", i)); rec.Status != events.StatusOK || rec.Attempt != failures+1 || rec.Replica != "r2" {
			t.Errorf("record %+v", rec)
		}
	}
}

// TestIdleAttachedServerThatDies is found dead though nobody asks it for anything.
func TestIdleAttachedServerThatDies(t *testing.T) {
	w := newWorld(t, nil)
	p, m, _ := w.attached(t, "r1", "")
	m.kill()
	w.awaitPhase("r1", events.PhaseExited)
	w.publish(functions.Standard, ask("later", wish{}))
	w.stays(p, events.CauseCrashed)
	if n, err := w.bus.PendingOf(w.ctx(), key, 0); err != nil || n[functions.Standard] != 1 {
		t.Errorf("pending %v, error %v", n, err)
	}
	if d := w.pullOne(); d.Delivered != 1 {
		t.Errorf("the request was pulled for a dead server: %+v", d)
	}
}

// TestSignalThatComesWithTheCrash is a kubelet that is faster than the watch.
func TestSignalThatComesWithTheCrash(t *testing.T) {
	w := newWorld(t, nil)
	p, m, _ := w.attached(t, "r1", "")
	w.publish(functions.Standard, ask("q", wish{Do: "slow", Millis: 60_000}))
	p.note("began")
	m.kill()
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if last := p.last(); last.Phase != events.PhaseExited || last.Cause != events.CauseCrashed {
		t.Errorf("status %+v", last)
	}
	if got := w.failures(1); got[0] != 1 {
		t.Errorf("failures %v", got)
	}
}

func TestBrokenConnectionsOfALivingServer(t *testing.T) {
	w := newWorld(t, nil)
	p, m, _ := w.attached(t, "r1", "garbage")
	got := w.collect(w.call(functions.Standard, ask("q", wish{})))
	if got.Status != events.StatusError || got.Cause != events.CauseAttemptsSpent || got.Attempt != 3 {
		t.Errorf("reply %+v", got)
	}
	m.serves()
	hb := w.awaitBeat("r1", "three failures", func(hb events.Heartbeat) bool { return hb.Totals.Failed == 3 })
	if hb.Phase != events.PhaseReady {
		t.Errorf("heartbeat %+v", hb)
	}
	p.signal(syscall.SIGTERM)
	p.wait()
}

// TestAgentKilledBesideItsServer starts it again as a kubelet does: the same replica goes on, with
// the server that was there.
func TestAgentKilledBesideItsServer(t *testing.T) {
	w := newWorld(t, nil)
	p, m, c := w.attached(t, "r1", "")
	before := w.awaitPhase("r1", events.PhaseReady)
	w.publish(functions.Standard, ask("across", wish{Do: "slow", Millis: 300}))
	p.note("began")
	p.signal(syscall.SIGKILL)
	p.wait()
	m.serves()
	again := w.start(c)
	w.awaitBeat("r1", "another agent that pulls", func(hb events.Heartbeat) bool { return hb.Phase == events.PhaseReady && hb.PID != before.PID })
	if got := w.collect(w.call(functions.Standard, ask("after", wish{}))); got.Status != events.StatusOK || got.Replica != "r1" {
		t.Errorf("reply %+v", got)
	}
	if rec := w.record("across"); rec.Status != events.StatusOK || rec.Attempt != 1 { // after the ack wait
		t.Errorf("record %+v", rec)
	}
	m.serves()
	again.signal(syscall.SIGTERM)
	if code := again.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestAttachedServerThatIsNeverReady(t *testing.T) {
	for _, mode := range []string{"not there", "mute"} {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t, func(s *functions.Spec) { s.Runtime.Ready.Timeout = functions.Duration(400 * time.Millisecond) })
			port := freePort(t)
			if mode == "mute" {
				w.beside(t, "r1", mode, port)
			}
			p := w.start(w.attachConfig(t, "r1", port))
			hb := w.stays(p, events.CauseNeverReady)
			if !hb.Receipt.Ready.IsZero() || hb.Message == "" {
				t.Errorf("heartbeat %+v", hb)
			}
		})
	}
}

// TestStoppedWhileItsServerLoads leaves the cause to who stopped it: it may be that the server
// crashed, which does not show from here.
func TestStoppedWhileItsServerLoads(t *testing.T) {
	w := newWorld(t, nil)
	p := w.start(w.attachConfig(t, "r1", freePort(t)))
	w.awaitPhase("r1", events.PhaseLoading)
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if last := p.last(); last.Phase != events.PhaseExited || last.Cause != "" {
		t.Errorf("status %+v", last)
	}
}

func TestDrainHookWhileItsServerLoads(t *testing.T) {
	w := newWorld(t, nil)
	c := w.attachConfig(t, "r1", freePort(t))
	p := w.start(c)
	w.awaitPhase("r1", events.PhaseLoading)
	if code := <-hook(t, c); code != 200 {
		t.Errorf("drain: status %d", code)
	}
	w.stays(p, events.CauseDrained)
}
