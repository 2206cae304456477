package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// TestPromise1NothingAcceptedIsLost publishes from a client that knows nothing of stoker while model servers, agents
// and the platform itself are killed, each several times, and then compares what the broker acknowledged with the
// terminal records.
func TestPromise1NothingAcceptedIsLost(t *testing.T) { t.Parallel(); nothingAcceptedIsLost(t, here) }

func nothingAcceptedIsLost(t *testing.T, up starter) {
	p := up(t, harness.Options{GPUs: 2})
	f := p.Function("kept", "-delay", "30ms")
	f.Spec.Scaling.Max, f.Spec.Scaling.KeepAlive = 2, "30s"
	f.Spec.Queue.Attempts = 20 // a kill fails the requests in flight; none of them is to be given up
	p.Apply(f)

	load := startLoad(t, p, "kept")
	for round := range 3 {
		for _, victim := range []string{harness.ModelServer, harness.Agent, harness.Stoker} {
			load.awaitProgress(fmt.Sprintf("round %d, before killing %s", round, victim))
			kill(t, p, victim)
		}
	}
	load.awaitProgress("after the last kill")
	accepted, tried := load.stop()
	t.Logf("%d publishes acknowledged of %d tried", len(accepted), tried)

	records := p.AwaitRecords("kept", accepted)
	for id, rec := range records {
		if rec.Status != events.StatusOK {
			t.Errorf("%s ended with %s (%s: %s), want ok", id, rec.Status, rec.Cause, rec.Message)
		}
	}
	runs := harness.Runs(p.Books("kept"))
	for id := range records {
		if runs[id] == 0 {
			t.Errorf("%s has a result and was never run", id)
		}
	}
	checkOneRecordEach(t, p, "kept", len(accepted), tried)
	if c := p.Conflicts(); len(c) > 0 {
		t.Errorf("a GPU had two holders: %+v", c)
	}
}

// kill kills one process of a kind; the platform is started again.
func kill(t *testing.T, p *harness.Platform, what string) {
	t.Helper()
	if what == harness.Stoker {
		p.Kill9()
		p.Start()
		return
	}
	var victims []harness.Process
	harness.Eventually(t, "a "+what+" to kill", func() (bool, any) {
		victims = p.Running(what)
		return len(victims) > 0, p.Processes()
	})
	t.Logf("kill -9 %s", victims[0])
	harness.Signal(t, victims[0].PID, unix.SIGKILL)
}

// checkOneRecordEach counts the records as they are stored: one message to a subject, at least one subject to an
// accepted request, and none for what nobody sent.
func checkOneRecordEach(t *testing.T, p *harness.Platform, name string, accepted, tried int) {
	t.Helper()
	s, err := p.JetStream().Stream(t.Context(), events.StreamResults)
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(events.ResultFilter(harness.Key(name))))
	if err != nil {
		t.Fatal(err)
	}
	for subject, n := range info.State.Subjects {
		if n != 1 {
			t.Errorf("%d records on %s, want 1", n, subject)
		}
	}
	if n := len(info.State.Subjects); n < accepted || n > tried {
		t.Errorf("%d records of %s, want %d to %d", n, name, accepted, tried)
	}
}

// load is a stock publisher that never gives up.
type load struct {
	t    *testing.T
	p    *harness.Platform
	name string
	js   jetstream.JetStream

	cancel context.CancelFunc
	done   sync.WaitGroup

	mu       sync.Mutex
	accepted []string
	tried    int
}

// loadPace is the pause between two publishes: a few dozen requests a second, of all classes in turn.
const loadPace = 20 * time.Millisecond

// progress is how many requests must be taken by the broker, and run, between two kills.
const progress = 25

func startLoad(t *testing.T, p *harness.Platform, name string) *load {
	t.Helper()
	js, err := jetstream.New(p.NATS())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{t: t, p: p, name: name, js: js, cancel: cancel}
	l.done.Go(func() { l.run(ctx) })
	t.Cleanup(func() { cancel(); l.done.Wait() })
	return l
}

func (l *load) run(ctx context.Context) {
	tick := time.NewTicker(loadPace)
	defer tick.Stop()
	classes := functions.Classes()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		one, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		id, err := harness.Publish(one, l.js, harness.Key(l.name), classes[n%len(classes)], fmt.Sprintf(`{"n":%d}`, n))
		cancel()
		l.mu.Lock()
		l.tried++
		if err == nil {
			l.accepted = append(l.accepted, id)
		}
		l.mu.Unlock()
	}
}

func (l *load) counts() (accepted, tried int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.accepted), l.tried
}

// awaitProgress waits until requests are accepted and run again.
func (l *load) awaitProgress(when string) {
	l.t.Helper()
	taken, _ := l.counts()
	ran := l.ended()
	harness.Eventually(l.t, "progress "+when, func() (bool, any) {
		now, tried := l.counts()
		ended := l.ended()
		return now >= taken+progress && ended >= ran+progress, fmt.Sprintf("accepted %d of %d, ran %d", now, tried, ended)
	})
}

func (l *load) ended() int {
	n := 0
	for _, e := range l.p.Books(l.name) {
		if e.What == "end" {
			n++
		}
	}
	return n
}

// stop ends the load and returns the ids the broker acknowledged, and the number of publishes tried.
func (l *load) stop() (accepted []string, tried int) {
	l.cancel()
	l.done.Wait()
	return l.accepted, l.tried
}

// invoke sends a synchronous request as any NATS client would and returns the reply's status header and body.
func invoke(t *testing.T, p *harness.Platform, name, body string) (status, answer string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	m, err := p.NATS().RequestWithContext(ctx, events.InvokeSubject(harness.Key(name)), []byte(body))
	if err != nil {
		t.Fatalf("invoke %s: %v", name, err)
	}
	return m.Header.Get(events.HeaderStatus), string(m.Data)
}

// mustInvoke wants an answer.
func mustInvoke(t *testing.T, p *harness.Platform, name, body string) string {
	t.Helper()
	status, answer := invoke(t, p, name, body)
	if status != string(events.StatusOK) {
		t.Fatalf("invoke %s: %s: %s", name, status, answer)
	}
	return answer
}

// contains fails the test where a text lacks something.
func contains(t *testing.T, what, text string, wants ...string) {
	t.Helper()
	for _, w := range wants {
		if !strings.Contains(text, w) {
			t.Errorf("%s lacks %q:\n%s", what, w, text)
		}
	}
}
