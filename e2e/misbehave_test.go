package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// settled tells whether a function has nothing to do any more.
func settled(f api.Function) bool {
	waiting := f.InFlight
	for _, n := range f.Pending {
		waiting += n
	}
	return waiting == 0
}

// TestMisbehavingServers runs model servers that are broken, each in its own way.
func TestMisbehavingServers(t *testing.T) { t.Parallel(); misbehavingServers(t, here) }

func misbehavingServers(t *testing.T, up starter) {
	p := up(t, harness.Options{GPUs: 4})
	t.Run("never ready", func(t *testing.T) { neverReady(t, p) })
	t.Run("garbage", func(t *testing.T) { garbage(t, p) })
	t.Run("hangs", func(t *testing.T) { hangs(t, p) })
	t.Run("exits after each request", func(t *testing.T) { exitsAfterEach(t, p) })
	t.Run("poison", func(t *testing.T) { poison(t, p) })
	if c := p.Conflicts(); len(c) > 0 {
		t.Errorf("a GPU had two holders: %+v", c)
	}
}

func neverReady(t *testing.T, p *harness.Platform) {
	f := p.Function("unready", "-mode", "never-ready")
	f.Spec.Runtime.Ready.Timeout = functions.Duration(2 * time.Second)
	f.Spec.Queue.Deadline = functions.Duration(10 * time.Minute)
	p.Apply(f)
	id := p.MustPublish(p.JetStream(), "unready", functions.Standard, "x")
	got := p.Await("unready", "its failure known", func(f api.Function) bool { return f.Failure != nil })
	if got.Failure.Cause != events.CauseNeverReady {
		t.Errorf("cause %q, want %q", got.Failure.Cause, events.CauseNeverReady)
	}
	contains(t, "stoker explain unready", stoker(t, p, "explain", "unready"), events.CauseNeverReady)
	// Enough failures make it fail fast: the request ends rather than waits for ever.
	rec := p.AwaitRecords("unready", []string{id})[id]
	if rec.Status != events.StatusError || rec.Cause != events.CauseCrashLoop {
		t.Errorf("ended with %s (%s), want error and %s", rec.Status, rec.Cause, events.CauseCrashLoop)
	}
	remove(t, p, "unready")
}

func garbage(t *testing.T, p *harness.Platform) {
	p.Apply(p.Function("babble", "-mode", "garbage"))
	id := p.MustPublish(p.JetStream(), "babble", functions.Standard, "x")
	rec := p.AwaitRecords("babble", []string{id})[id]
	if rec.Status != events.StatusError || rec.Attempt != 3 || rec.Message == "" {
		t.Errorf("ended with %s at attempt %d: %q, want an error after three", rec.Status, rec.Attempt, rec.Message)
	}
	if f := p.Get("babble"); f.Dead != 1 {
		t.Errorf("%d dead letters, want 1", f.Dead)
	}
	remove(t, p, "babble")
}

func hangs(t *testing.T, p *harness.Platform) {
	f := p.Function("stuck", "-mode", "hang")
	f.Spec.Queue.Deadline = functions.Duration(3 * time.Second)
	p.Apply(f)
	id := p.MustPublish(p.JetStream(), "stuck", functions.Standard, "x")
	if rec := p.AwaitRecords("stuck", []string{id})[id]; rec.Status != events.StatusExpired {
		t.Errorf("ended with %s (%s), want expired", rec.Status, rec.Cause)
	}
	if status, body := invoke(t, p, "stuck", "x"); status != string(events.StatusExpired) {
		t.Errorf("a caller got %s: %s, want expired", status, body)
	}
	remove(t, p, "stuck")
}

func exitsAfterEach(t *testing.T, p *harness.Platform) {
	f := p.Function("oneshot", "-mode", "exit-after")
	f.Spec.Scaling.Slots, f.Spec.Scaling.KeepAlive = 1, "30s"
	f.Spec.Queue.Attempts = 10
	p.Apply(f)
	ids := publishN(t, p, "oneshot", functions.Standard, 3)
	for id, rec := range p.AwaitRecords("oneshot", ids) {
		if rec.Status != events.StatusOK {
			t.Errorf("%s: %s (%s): %s", id, rec.Status, rec.Cause, rec.Message)
		}
	}
	remove(t, p, "oneshot")
}

// poison kills every server that takes it: the request is given up, not the function.
func poison(t *testing.T, p *harness.Platform) {
	f := p.Function("tasted")
	f.Spec.Queue.Attempts = 2
	f.Spec.Scaling.KeepAlive = "20s"
	p.Apply(f)
	js := p.JetStream()
	bad := p.MustPublish(js, "tasted", functions.Standard, `{"do":"crash"}`)
	rec := p.AwaitRecords("tasted", []string{bad})[bad]
	if rec.Status != events.StatusError || rec.Attempt != 2 {
		t.Errorf("poison ended with %s at attempt %d, want error at 2", rec.Status, rec.Attempt)
	}
	good := p.MustPublish(js, "tasted", functions.Standard, `{}`)
	if rec := p.AwaitRecords("tasted", []string{good})[good]; rec.Status != events.StatusOK {
		t.Errorf("after the poison: %s: %s", rec.Status, rec.Message)
	}
	deadLetters(t, p, bad)
	remove(t, p, "tasted")
}

// deadLetters lists, shows, redrives and purges the one there is.
func deadLetters(t *testing.T, p *harness.Platform, id string) {
	t.Helper()
	var dead []api.DeadLetter
	if err := json.Unmarshal([]byte(stoker(t, p, "queue", "dead", "tasted", "-o", "json")), &dead); err != nil {
		t.Fatal(err)
	}
	if len(dead) != 1 || dead[0].ID != id || dead[0].Attempts != 2 || string(dead[0].Data) != `{"do":"crash"}` {
		t.Fatalf("dead letters: %+v, want the one that crashed", dead)
	}
	a, err := p.API.Redeem(t.Context(), harness.Key("tasted"), api.DeadRequest{Op: "redrive", All: true})
	if err != nil || a.N != 1 || len(a.IDs) != 1 {
		t.Fatalf("redrive: %+v, %v", a, err)
	}
	if rec := p.AwaitRecords("tasted", a.IDs)[a.IDs[0]]; rec.Redrive != 1 || rec.Status != events.StatusError {
		t.Errorf("redriven: %+v", rec)
	}
	stoker(t, p, "queue", "purge", "tasted", "--all")
	if f := p.Get("tasted"); f.Dead != 0 {
		t.Errorf("%d dead letters after the purge", f.Dead)
	}
}

func remove(t *testing.T, p *harness.Platform, name string) {
	t.Helper()
	if err := p.API.Delete(t.Context(), harness.Key(name)); err != nil {
		t.Fatal(err)
	}
	p.AwaitGone(name)
}

// TestCrashLoopFailsFastAndRecovers deploys a server that cannot start, and then its cure.
func TestCrashLoopFailsFastAndRecovers(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{})
	f := p.Function("looping", "-mode", "no-start")
	p.Apply(f)
	id := p.MustPublish(p.JetStream(), "looping", functions.Standard, "x")
	p.Await("looping", "failing", func(f api.Function) bool { return f.Phase == scale.PhaseFailing })
	rec := p.AwaitRecords("looping", []string{id})[id]
	if rec.Status != events.StatusError || rec.Cause != events.CauseCrashLoop || !strings.Contains(rec.Message, "giving up") {
		t.Errorf("%s (%s): %s; want error, crash-loop and the server's last words", rec.Status, rec.Cause, rec.Message)
	}
	_, err := p.API.Invoke(t.Context(), api.Call{Key: harness.Key("looping"), Body: []byte("x")}, nil)
	var refused *api.Error
	if !errors.As(err, &refused) || refused.Code != http.StatusServiceUnavailable || refused.Cause != events.CauseCrashLoop {
		t.Errorf("invoke: %v, want a 503 with cause crash-loop", err)
	}
	contains(t, "stoker explain looping", stoker(t, p, "explain", "looping"), "giving up", "failing")
	contains(t, "stoker describe looping", stoker(t, p, "describe", "looping"), "Failing")

	p.Apply(p.Function("looping", "-tag", "cured"))
	contains(t, "the answer once it is mended", mustInvokeEventually(t, p, "looping"), "cured")
	if f := p.Get("looping"); f.Phase == scale.PhaseFailing {
		t.Errorf("still %s", f.Phase)
	}
}

// mustInvokeEventually asks until somebody answers.
func mustInvokeEventually(t *testing.T, p *harness.Platform, name string) string {
	t.Helper()
	var answer string
	harness.Eventually(t, name+" answers", func() (bool, any) {
		var status string
		status, answer = invoke(t, p, name, "x")
		return status == string(events.StatusOK), status + " " + answer
	})
	return answer
}

// TestNoGPUWaitsAndSaysWho starts a function while another one holds the only GPU.
func TestNoGPUWaitsAndSaysWho(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{})
	holder := p.Function("holder")
	holder.Spec.Scaling.Min = 1 // held warm by a keep-alive alone, it would go
	p.Apply(holder, p.Function("waiter"))
	mustInvoke(t, p, "holder", "x")
	id := p.MustPublish(p.JetStream(), "waiter", functions.Standard, "x")
	f := p.Await("waiter", "waiting", func(f api.Function) bool { return f.Phase == scale.PhaseWaiting })
	if f.Last.Limit != scale.ReasonNoGPU && f.Last.Reason != scale.ReasonNoGPU {
		t.Errorf("decision %+v, want %s", f.Last, scale.ReasonNoGPU)
	}
	contains(t, "stoker explain waiter", stoker(t, p, "explain", "waiter"), "default/holder", string(scale.ReasonNoGPU))
	contains(t, "stoker status", stoker(t, p, "status"), "default/holder")
	remove(t, p, "holder")
	if rec := p.AwaitRecords("waiter", []string{id})[id]; rec.Status != events.StatusOK {
		t.Errorf("once the GPU is free: %s: %s", rec.Status, rec.Message)
	}
}

// TestManifestChangedUnderLoad rolls two new revisions while requests keep coming.
func TestManifestChangedUnderLoad(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{GPUs: 2})
	revision := func(tag string) functions.Function {
		f := p.Function("rolling", "-delay", "50ms", "-tag", tag)
		f.Spec.Scaling.KeepAlive = "1m"
		return f
	}
	p.Apply(revision("one"))
	load := startLoad(t, p, "rolling")
	load.awaitProgress("of the first revision")
	for _, tag := range []string{"two", "three"} {
		if a := p.Apply(revision(tag)); !a[0].Rolls {
			t.Errorf("%+v: want a new revision", a[0])
		}
		harness.Eventually(t, "revision "+tag+" serves", func() (bool, any) {
			books := p.Books("rolling")
			return len(books) > 0 && books[len(books)-1].Tag == tag, len(books)
		})
		load.awaitProgress("of revision " + tag)
	}
	accepted, tried := load.stop()
	for id, rec := range p.AwaitRecords("rolling", accepted) {
		if rec.Status != events.StatusOK || rec.Attempt != 1 {
			t.Errorf("%s: %s at attempt %d: %s", id, rec.Status, rec.Attempt, rec.Message)
		}
	}
	for id, n := range harness.Runs(p.Books("rolling")) {
		if n != 1 {
			t.Errorf("%s was run %d times", id, n)
		}
	}
	checkOneRecordEach(t, p, "rolling", len(accepted), tried)
	p.Await("rolling", "one revision left", func(f api.Function) bool {
		return len(f.Replicas) == 1 && f.Replicas[0].Revision == f.Revision
	})
}

// TestDeletedUnderLoad deletes a function while requests wait and run: each has its record, and later ones are
// refused by the broker.
func TestDeletedUnderLoad(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{})
	p.Apply(p.Function("leaving", "-delay", "500ms"))
	load := startLoad(t, p, "leaving")
	load.awaitProgress("before it is deleted")
	if err := p.API.Delete(t.Context(), harness.Key("leaving")); err != nil {
		t.Fatal(err)
	}
	p.AwaitGone("leaving")
	accepted, _ := load.stop()
	ended := map[string]int{}
	for id, rec := range p.AwaitRecords("leaving", accepted) {
		ended[fmt.Sprint(rec.Status, " ", rec.Cause)]++
		if rec.Status != events.StatusOK && rec.Cause != events.CauseDeleted {
			t.Errorf("%s: %s (%s): %s", id, rec.Status, rec.Cause, rec.Message)
		}
	}
	t.Logf("ended: %v", ended)
	if len(ended) != 2 {
		t.Errorf("want some answered and some told that the function is deleted, got %v", ended)
	}
	if left := p.Processes(); len(left) > 0 {
		t.Errorf("processes of a deleted function: %v", left)
	}
}
