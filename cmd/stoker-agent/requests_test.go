package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// call publishes an event that waits for its answer, and returns the call.
func (w *world) call(c functions.Class, e events.Event) *events.Call {
	w.t.Helper()
	call, err := w.bus.NewCall()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(call.Close)
	e.ReplyTo = call.Subject
	w.publish(c, e)
	return call
}

func (w *world) collect(call *events.Call) events.Record {
	w.t.Helper()
	rec, err := call.Collect(w.ctx())
	if err != nil {
		w.t.Fatal(err)
	}
	return rec
}

func TestAnswerIsRecordedAcknowledgedAndReplied(t *testing.T) {
	w := newWorld(t, nil)
	w.ready("r1", "")
	e := ask("one", wish{Do: "echo"})
	got := w.collect(w.call(functions.Standard, e))
	if got.Status != events.StatusOK || string(got.Body) != "echo "+string(e.Data) || got.ContentType != "text/plain" {
		t.Errorf("reply %+v, body %q", got, got.Body)
	}
	rec := w.record("one")
	if rec.Attempt != 1 || rec.Replica != "r1" || rec.Revision != "abc" || rec.Class != functions.Standard || rec.Started.Before(rec.Published) || rec.Ended.Before(rec.Started) {
		t.Errorf("record %+v", rec)
	}
	if string(rec.Body) != string(got.Body) {
		t.Errorf("record holds %q, the reply was %q", rec.Body, got.Body)
	}
	w.empty()
	hb := w.awaitBeat("r1", "one served", func(hb events.Heartbeat) bool { return hb.Totals.Served == 1 && hb.InFlight == 0 })
	r := hb.Receipt
	for i, at := range []time.Time{r.Demand, r.Reserved, r.Spawned, r.Loading, r.Ready, r.FirstRequest, r.FirstByte} {
		if at.IsZero() || i > 0 && at.Before(r.Demand) {
			t.Errorf("receipt is not complete or not in order: %+v", r)
		}
	}
}

func TestWhatARecordHolds(t *testing.T) {
	for _, c := range []struct {
		rule functions.RecordContent
		sync bool
		want bool
	}{
		{functions.RecordAuto, false, true}, {functions.RecordAuto, true, false},
		{functions.RecordStatus, false, false}, {functions.RecordWhole, true, true},
	} {
		t.Run(fmt.Sprintf("%s sync=%v", c.rule, c.sync), func(t *testing.T) {
			w := newWorld(t, func(s *functions.Spec) { s.Results.Record = c.rule })
			w.ready("r1", "")
			e := ask("one", wish{})
			e.Sync = c.sync
			reply := w.collect(w.call(functions.Interactive, e))
			rec := w.record("one")
			if len(reply.Body) == 0 || (len(rec.Body) > 0) != c.want {
				t.Errorf("reply %q, record %q", reply.Body, rec.Body)
			}
		})
	}
}

func TestEveryRequestEndsOnceUnderLoad(t *testing.T) {
	w := newWorld(t, func(s *functions.Spec) { s.Scaling.Slots = 8 })
	w.ready("r1", "")
	w.ready("r2", "")
	const n = 300
	classes := functions.Classes()
	for i := range n {
		w.publish(classes[i%len(classes)], ask(fmt.Sprintf("q%d", i), wish{Do: "echo"}))
	}
	for i := range n {
		if rec := w.record(fmt.Sprintf("q%d", i)); rec.Status != events.StatusOK || rec.Attempt != 1 {
			t.Fatalf("record %+v", rec)
		}
	}
	w.empty()
}

func TestRefusalsEndAtOnceWithTheServersWords(t *testing.T) {
	w := newWorld(t, nil)
	w.ready("r1", "")
	got := w.collect(w.call(functions.Standard, ask("bad", wish{Do: "status", N: 422})))
	if got.Status != events.StatusError || got.Cause != events.CauseBadRequest || string(got.Body) != "no: 422" || got.Attempt != 1 {
		t.Errorf("reply %+v, body %q", got, got.Body)
	}
	if got.Code() != 422 || !strings.Contains(got.Message, "422") {
		t.Errorf("code %d, message %q", got.Code(), got.Message)
	}
	if rec := w.record("bad"); string(rec.Body) != "no: 422" {
		t.Errorf("record body %q", rec.Body)
	}
	if n, err := w.bus.CountDead(w.ctx(), key); err != nil || n != 0 {
		t.Errorf("%d dead letters, error %v", n, err)
	}
}

func TestFailuresAreTriedAgainAndThenBuried(t *testing.T) {
	for _, status := range []int{500, 503, 408, 425, 429} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			w := newWorld(t, nil)
			w.ready("r1", "")
			began := time.Now()
			got := w.collect(w.call(functions.Batch, ask("sick", wish{Do: "status", N: status})))
			if got.Status != events.StatusError || got.Cause != events.CauseAttemptsSpent || got.Attempt != 3 {
				t.Errorf("reply %+v", got)
			}
			if took := time.Since(began); took < 60*time.Millisecond { // 20 + 40 of backoff
				t.Errorf("three attempts took %v, want the backoff between them", took)
			}
			dead, _, err := w.bus.DeadLetters(w.ctx(), key, 0, 10)
			if err != nil || len(dead) != 1 || dead[0].Failures != 3 || dead[0].Cause != events.CauseBackend || dead[0].Request.Event.ID != "sick" {
				t.Errorf("dead letters %+v, error %v", dead, err)
			}
			w.empty()
			w.awaitBeat("r1", "three failures", func(hb events.Heartbeat) bool { return hb.Totals.Failed == 3 && hb.Totals.Served == 0 })
		})
	}
}

func TestDeadlines(t *testing.T) {
	w := newWorld(t, nil)
	p := w.ready("r1", "")
	past := ask("past", wish{})
	past.Deadline = time.Now().Add(-time.Second)
	if got := w.collect(w.call(functions.Standard, past)); got.Status != events.StatusExpired || got.Cause != events.CauseDeadline {
		t.Errorf("reply %+v", got)
	}
	hung := ask("hung", wish{Do: "hang"})
	hung.Deadline = time.Now().Add(3 * time.Second) // by then it has reached the model server
	if got := w.collect(w.call(functions.Standard, hung)); got.Status != events.StatusExpired {
		t.Errorf("reply %+v", got)
	}
	p.note("hung") // the model server was told
	w.awaitBeat("r1", "two expired", func(hb events.Heartbeat) bool { return hb.Totals.Expired == 2 })
}

func TestCancelledWorkStops(t *testing.T) {
	w := newWorld(t, func(s *functions.Spec) { s.Scaling.Slots = 1 })
	p := w.ready("r1", "")
	running := w.call(functions.Standard, ask("running", wish{Do: "slow", Millis: 60_000}))
	p.note("began")
	queued := w.call(functions.Standard, ask("queued", wish{Do: "crash"}))
	for _, id := range []string{"queued", "running"} {
		if err := w.bus.Cancel(key, id); err != nil {
			t.Fatal(err)
		}
	}
	for _, call := range []*events.Call{running, queued} {
		if got := w.collect(call); got.Status != events.StatusError || got.Cause != events.CauseCancelled {
			t.Errorf("reply %+v", got)
		}
	}
}

func TestMalformedEventsGetARecord(t *testing.T) {
	w := newWorld(t, nil)
	w.ready("r1", "")
	m := &events.Msg{Subject: events.RequestSubject(key, functions.Standard), Header: events.Header{"ce-id": {"x1"}, "ce-specversion": {"9.9"}}, Data: []byte("{}")}
	if err := w.bus.Conn().PublishMsg(m); err != nil {
		t.Fatal(err)
	}
	if rec := w.record("x1"); rec.Status != events.StatusError || rec.Cause != events.CauseBadRequest || rec.Message == "" {
		t.Errorf("record %+v", rec)
	}
	w.empty()
}

func TestBarePayloadIsNamedAfterItsPlace(t *testing.T) {
	w := newWorld(t, nil)
	w.ready("r1", "")
	if err := w.bus.Conn().Publish(events.RequestSubject(key, functions.Standard), []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if rec := w.record(events.BareID(events.ShardStream(0), 1)); string(rec.Body) != "echo hello" {
		t.Errorf("record %+v, body %q", rec, rec.Body)
	}
}

func TestKnownRequestsAreNotRunAgain(t *testing.T) {
	w := newWorld(t, nil)
	w.publish(functions.Standard, ask("known", wish{Do: "crash"}))
	rec := events.Record{ID: "known", Source: "test", Function: key, Class: functions.Standard, Status: events.StatusOK, Attempt: 1, Ended: time.Now(), Body: []byte("from before")}
	if _, err := w.bus.WriteRecord(w.ctx(), rec, time.Minute); err != nil {
		t.Fatal(err)
	}
	// An agent that died took the request before: the next delivery is not the first.
	died := w.pullOne()
	if err := died.GiveBack(0); err != nil {
		t.Fatal(err)
	}
	p := w.ready("r1", "")
	w.empty()
	if rec := w.record("known"); string(rec.Body) != "from before" {
		t.Errorf("record %+v", rec)
	}
	p.signal(15)
	if code := p.wait(); code != exitOK { // the request would have crashed the server
		t.Errorf("exit code %d", code)
	}
}

// taker takes what an intake delivers.
type taker chan *events.Delivery

func (t taker) Delivered(d *events.Delivery) { t <- d }
func (t taker) Ended(uint64)                 {}
func (t taker) Refused(uint64, string)       {}

// pullOne takes one standard request, as an agent would.
func (w *world) pullOne() *events.Delivery {
	w.t.Helper()
	got := make(taker, 1)
	in, err := w.bus.OpenIntake(key, "test", events.ShardStream(0), got)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := in.Ask(1, 1, patience, 1); err != nil {
		w.t.Fatal(err)
	}
	select {
	case d := <-got:
		if err := in.Close(w.ctx()); err != nil {
			w.t.Fatal(err)
		}
		return d
	case <-time.After(patience):
		w.t.Fatal("nothing delivered")
		return nil
	}
}

// TestSurplusIsGivenBackQuicklyAndIsNoAttempt fills the one slot while an ask of another
// class waits at the broker: what that ask gets is too much, and soon somebody else's.
func TestSurplusIsGivenBackQuicklyAndIsNoAttempt(t *testing.T) {
	w := newWorld(t, func(s *functions.Spec) { s.Scaling.Slots = 1 })
	p := w.ready("r1", "")
	w.waiting(functions.Batch, 1)
	w.waiting(functions.Standard, 1)
	w.publish(functions.Batch, ask("slow", wish{Do: "slow", Millis: 60_000}))
	p.note("began")
	other := make(taker, 1)
	in, err := w.bus.OpenIntake(key, "test", events.ShardStream(0), other)
	if err == nil {
		err = in.Ask(1, 1, patience, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.waiting(functions.Standard, 2)
	published := time.Now()
	w.publish(functions.Standard, ask("surplus", wish{}))
	var d *events.Delivery
	select {
	case d = <-other:
	case <-time.After(patience):
		t.Fatal("the surplus was not given back")
	}
	// The agent holds it for pull.HoldFor; what it does not give back, the broker would after AckWait.
	if took := time.Since(published); d.Delivered != 2 || took > events.AckWait/2 {
		t.Errorf("delivery %d after %v, want the second, soon", d.Delivered, took)
	}
	if err := d.GiveBack(0); err != nil {
		t.Fatal(err)
	}
	if err := w.bus.Cancel(key, "slow"); err != nil {
		t.Fatal(err)
	}
	for id, cause := range map[string]string{"slow": events.CauseCancelled, "surplus": ""} {
		if rec := w.record(id); rec.Cause != cause || rec.Attempt != 1 {
			t.Errorf("record %+v", rec)
		}
	}
	attempts, err := w.bus.Attempts(w.ctx(), key, events.ShardStream(0), 2)
	if err != nil || attempts.Failures != 0 {
		t.Errorf("a surplus counted as a failure: %+v, %v", attempts, err)
	}
}

// waiting waits until so many asks are open at a class's consumer.
func (w *world) waiting(c functions.Class, n int) {
	w.t.Helper()
	await(w.t, fmt.Sprintf("%d asks open for %s", n, c), func() error {
		consumer, err := w.bus.JetStream().Consumer(w.ctx(), events.ShardStream(0), events.Consumer(key, c))
		if err != nil {
			return err
		}
		if got := consumer.CachedInfo().NumWaiting; got != n {
			return fmt.Errorf("%d are", got)
		}
		return nil
	})
}

func TestReplySubjectsThatAreNoInboxAreRefused(t *testing.T) {
	w := newWorld(t, nil)
	w.ready("r1", "")
	victim := "stoker.ctl.default.echo.r1"
	m := &events.Msg{Subject: events.RequestSubject(key, functions.Standard), Data: []byte(`{"op":"drain"}`), Header: events.Header{
		"ce-id": {"evil"}, "ce-source": {"test"}, "ce-type": {"t"}, "ce-specversion": {"1.0"}, "ce-replyto": {victim}}}
	if err := w.bus.Conn().PublishMsg(m); err != nil {
		t.Fatal(err)
	}
	if rec := w.record("evil"); rec.Cause != events.CauseBadRequest {
		t.Errorf("record %+v", rec)
	}
	if got := w.collect(w.call(functions.Standard, ask("next", wish{}))); got.Status != events.StatusOK {
		t.Errorf("the agent does not work on: %+v", got)
	}
}

func TestCrashedServerCountsAnAttemptAndTheRequestGoesElsewhere(t *testing.T) {
	w := newWorld(t, nil)
	first := w.ready("r1", "")
	w.publish(functions.Standard, ask("q", wish{Do: "crash", File: filepath.Join(w.dir, "once")}))
	if code := first.wait(); code != exitCrashed {
		t.Errorf("exit code %d, want %d", code, exitCrashed)
	}
	last := first.last()
	if last.Phase != events.PhaseExited || last.Cause != events.CauseCrashed || last.ExitCode != 3 || !strings.Contains(last.Message, "illegal memory access") {
		t.Errorf("status %+v", last)
	}
	w.awaitPhase("r1", events.PhaseExited)
	w.ready("r2", "")
	began := time.Now()
	rec := w.record("q")
	if rec.Status != events.StatusOK || rec.Attempt != 2 || rec.Replica != "r2" {
		t.Errorf("record %+v", rec)
	}
	if waited := time.Since(began); waited > events.AckWait/2 {
		t.Errorf("the request waited %v: it was not given back", waited)
	}
}

func TestServerThatExitsAfterEachRequest(t *testing.T) {
	w := newWorld(t, func(s *functions.Spec) { s.Scaling.Slots = 1 })
	for i := range 3 {
		id := fmt.Sprintf("q%d", i)
		w.publish(functions.Standard, ask(id, wish{Do: "last"}))
		p := w.ready(fmt.Sprintf("r%d", i), "")
		if rec := w.record(id); rec.Status != events.StatusOK || string(rec.Body) != "the last answer" {
			t.Errorf("record %+v", rec)
		}
		if code := p.wait(); code != exitCrashed {
			t.Errorf("exit code %d", code)
		}
	}
}

func TestQueueThatOpensLater(t *testing.T) {
	w := newWorld(t, nil)
	c := w.config("r1", "")
	w.publish(functions.Standard, ask("q", wish{}))
	if err := w.bus.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	for _, class := range functions.Classes() {
		if err := w.bus.JetStream().DeleteConsumer(w.ctx(), events.ShardStream(0), events.Consumer(key, class)); err != nil {
			t.Fatal(err)
		}
	}
	w.start(c)
	w.awaitPhase("r1", events.PhaseReady)
	if err := w.bus.OpenQueue(w.ctx(), key, 0); err != nil {
		t.Fatal(err)
	}
	w.record("q")
	// Again, while asks wait at the broker.
	for _, class := range functions.Classes() {
		if err := w.bus.JetStream().DeleteConsumer(w.ctx(), events.ShardStream(0), events.Consumer(key, class)); err != nil {
			t.Fatal(err)
		}
	}
	w.publish(functions.Standard, ask("q2", wish{}))
	if err := w.bus.OpenQueue(w.ctx(), key, 0); err != nil {
		t.Fatal(err)
	}
	w.record("q2")
}
