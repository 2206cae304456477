package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/dispatch"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/cost"
	"stoker.dev/stoker/scale/job"
)

// TestAJobTrainsToItsEnd follows one gang from its submission to its last GPU-second.
func TestAJobTrainsToItsEnd(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{GPUs: 2})
	if s := p.Submit(p.Job("train", 2, "-steps", "60")); s.Action != "created" || s.UID == "" {
		t.Fatalf("submitted: %+v", s)
	}
	j := p.AwaitPhase("train", job.Succeeded)
	if j.Progress.Step != 60 || j.Progress.Percent != 100 || j.Saved.Step != 60 || j.Attempt != 1 || len(j.Attempts) != 1 {
		t.Errorf("it ended as %+v", j)
	}
	if x := j.Time; x.Useful <= 0 || x.Lost != 0 || x.ETTR <= 0 || !near(x.Held, x.Useful+x.Lost+x.Start+x.Drain) {
		t.Errorf("GPU-seconds: %+v", x)
	}
	if left := p.Running("train"); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
	awaitFree(t, p, 2)
	logs, err := p.API.JobLogs(t.Context(), harness.Key("train"), 1, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	if text, err := io.ReadAll(logs); err != nil || !strings.Contains(string(text), "rank 1 of 2 begins at step 0") {
		t.Errorf("output of rank 1: %q, %v", text, err)
	}
	var told []string
	for e, err := range p.API.Events(t.Context(), api.EventFilter{Namespace: harness.Namespace, Function: "train"}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == "job" && (len(told) == 0 || told[len(told)-1] != e.What) {
			told = append(told, e.What)
		}
	}
	for _, want := range []string{"validated", "queued", "admitted", "placed", "barrier", "running", "checkpointed", "succeeded"} {
		if !slices.Contains(told, want) {
			t.Errorf("nobody was told that it was %s: %v", want, told)
		}
	}
	if told[len(told)-1] != "succeeded" {
		t.Errorf("the last that was told: %v", told)
	}
}

func near(a, b float64) bool { return a-b < 0.01 && b-a < 0.01 }

func awaitFree(t *testing.T, p *harness.Platform, gpus int) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("%d GPUs are free", gpus), func() (bool, any) {
		s, err := p.API.Platform(t.Context())
		return err == nil && s.Free == gpus, fmt.Sprint(s.Leases, err)
	})
}

func steerJob(t *testing.T, p *harness.Platform, name string, op api.JobOp) {
	t.Helper()
	if err := p.API.Steer(t.Context(), harness.Key(name), op); err != nil {
		t.Fatalf("%s: %v", op, err)
	}
}

// TestAPausedJobGoesOnWhereItWas pauses, resumes and cancels one.
func TestAPausedJobGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{GPUs: 2})
	p.Submit(p.Job("train", 2))
	p.AwaitJob("train", "trains", harness.Trains(30))
	steerJob(t, p, "train", api.JobPause)
	paused := p.AwaitPhase("train", job.Paused)
	awaitFree(t, p, 2)
	if left := p.Running("train"); len(left) > 0 {
		t.Errorf("paused, and it runs: %v", left)
	}
	if paused.Saved.Step < 30 || paused.Time.Lost > 0 {
		t.Errorf("paused with %+v saved and %+v", paused.Saved, paused.Time)
	}
	steerJob(t, p, "train", api.JobResume)
	resumed := p.AwaitJob("train", "goes on", harness.Trains(paused.Saved.Step))
	if resumed.Resumed != paused.Saved.Path || resumed.Attempt != 2 {
		t.Errorf("resumed from %q in attempt %d, want %q in the second", resumed.Resumed, resumed.Attempt, paused.Saved.Path)
	}
	saved := resumed.Saved
	steerJob(t, p, "train", api.JobCheckpoint)
	p.AwaitJob("train", "a checkpoint", func(j api.Job) bool { return j.Saved.Step > saved.Step })
	steerJob(t, p, "train", api.JobCancel)
	if j := p.AwaitPhase("train", job.Cancelled); j.Used != (job.Used{Anew: true, Ran: j.Used.Ran, GPUSeconds: j.Used.GPUSeconds}) {
		t.Errorf("being paused and cancelled spent retries: %+v", j.Used)
	}
	if err := p.API.Steer(t.Context(), harness.Key("train"), api.JobResume); err == nil {
		t.Error("what is at its end goes on")
	}
	if err := p.API.RemoveJob(t.Context(), harness.Key("train")); err != nil {
		t.Error(err)
	}
	if _, err := p.API.Job(t.Context(), harness.Key("train")); err == nil {
		t.Error("what was removed is still there")
	}
}

// TestControlPlaneOutagesRestartNoGang is SkyPilot's issue 10155 as a test: 25 status calls that failed made it restart
// a healthy job 24 times. Here the platform is killed and away, its agents lose their broker and find it again, and the
// gang trains on in the same processes.
func TestControlPlaneOutagesRestartNoGang(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{GPUs: 2})
	p.Submit(p.Job("train", 2))
	before := p.AwaitJob("train", "trains", harness.Trains(10))
	pids := trainers(p)
	const outages = 3
	for range outages {
		p.Kill9()
		harness.Hold(t, 10*time.Second, "the gang lives", func() (bool, any) {
			return slices.Equal(trainers(p), pids), trainers(p)
		})
		p.Start()
		step := before.Progress.Step
		before = p.AwaitJob("train", "trains on", func(j api.Job) bool { return harness.Trains(step+50)(j) && j.Saved.Step > step })
	}
	if now := trainers(p); !slices.Equal(now, pids) || before.Attempt != 1 || before.Generation != 1 || before.Used.Infra+before.Used.User != 0 {
		t.Errorf("after %d outages the processes are %v, were %v; attempt %d, generation %d, retries %+v", outages, now, pids, before.Attempt, before.Generation, before.Used)
	}
	steerJob(t, p, "train", api.JobCancel)
	p.AwaitPhase("train", job.Cancelled)
}

// trainers are the process IDs of the training programs.
func trainers(p *harness.Platform) []int {
	var out []int
	for _, x := range p.Processes() {
		if x.Name == harness.Trainer {
			out = append(out, x.PID)
		}
	}
	slices.Sort(out)
	return out
}

// TestARankThatIsKilledTakesItsGangAlong kills one rank; the gang is started again as a whole and goes on.
func TestARankThatIsKilledTakesItsGangAlong(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{GPUs: 2})
	p.Submit(p.Job("train", 2))
	j := p.AwaitJob("train", "has a checkpoint", func(j api.Job) bool { return harness.Trains(30)(j) && j.Saved.Step > 0 })
	harness.Signal(t, j.Ranks[1].PID, unix.SIGKILL)
	again := p.AwaitJob("train", "trains again", func(j api.Job) bool { return j.Attempt == 2 && harness.Trains(j.Saved.Step)(j) })
	if again.Used.Infra != 1 || again.Used.User != 0 || again.Last == nil || again.Last.Class != job.ClassKilled || again.Last.Rank != 1 {
		t.Errorf("a killed rank is %+v, and cost %+v", again.Last, again.Used)
	}
	if first := again.Attempts[0]; first.SavedStep == 0 || again.Resumed == "" {
		t.Errorf("it began anew: %+v, resumed from %q", first, again.Resumed)
	}
	steerJob(t, p, "train", api.JobCancel)
	p.AwaitPhase("train", job.Cancelled)
	awaitFree(t, p, 2)
}

// TestAnErrorOfTheProgramIsItsOwn spends a user's retry, and fails without one.
func TestAnErrorOfTheProgramIsItsOwn(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{GPUs: 1})
	p.Submit(p.Job("fails", 1, "-fail", "5"))
	if j := p.AwaitPhase("fails", job.Failed); j.Attempt != 1 || j.Used.Infra != 0 || !strings.Contains(strings.Join(j.Last.Evidence, " "), "a bad batch") {
		t.Errorf("it failed as %+v", j.Last)
	}
	again := p.Job("again", 1, "-fail", "5", "-steps", "10")
	again.Spec.Retry.UserErrors = 1
	p.Submit(again)
	if j := p.AwaitPhase("again", job.Succeeded); j.Attempt != 2 || j.Used.User != 1 {
		t.Errorf("with one retry it took %d attempts and %+v", j.Attempt, j.Used)
	}
}

// TestALoanIsRecalledForInference lends all GPUs to a job; a request comes, the GPUs are given back with the work saved,
// the request is answered, and the job goes on where it was.
func TestALoanIsRecalledForInference(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{GPUs: 2})
	p.Apply(p.Function("chat"))
	borrower := p.Job("train", 2)
	borrower.Spec.Borrow.IdleInference = functions.UseAllowed
	p.Submit(borrower)
	p.AwaitJob("train", "borrows", func(j api.Job) bool { return j.Lent == 2 && harness.Trains(30)(j) })
	if text, err := p.Command(t.Context(), "job", "describe", "train").Output(); err != nil || !strings.Contains(string(text), "2 of 2 GPUs on loan from functions") {
		t.Errorf("described as\n%s", text)
	}

	mustInvoke(t, p, "chat", "give me a GPU")
	j := p.AwaitJob("train", "waits with its work saved", func(j api.Job) bool { return j.Phase == job.Queued && j.Attempt == 1 })
	if j.Cause != job.CauseRecalled || j.Generation != 2 || j.Saved.Step < 30 || j.Time.Lost > 0 || j.Used.Infra+j.Used.User != 0 {
		t.Errorf("recalled as %s with %+v saved, %+v, retries %+v", j.Cause, j.Saved, j.Time, j.Used)
	}
	again := p.AwaitJob("train", "goes on", func(j api.Job) bool { return j.Attempt == 2 && harness.Trains(j.Saved.Step)(j) })
	if again.Resumed != j.Saved.Path {
		t.Errorf("resumed from %q, want %q", again.Resumed, j.Saved.Path)
	}
	if f := p.Get("chat"); f.Last.Reason == scale.ReasonNoGPU || f.Served == 0 {
		t.Errorf("the function is %+v", f.Last)
	}
	steerJob(t, p, "train", api.JobCancel)
	p.AwaitPhase("train", job.Cancelled)
	checkLoanInCost(t, p)
}

// checkLoanInCost holds what `stoker cost` says of loans that were recalled once against what the job says.
func checkLoanInCost(t *testing.T, p *harness.Platform) {
	t.Helper()
	j := p.AJob("train")
	out, err := p.Command(t.Context(), "cost", "--since", "1h", "-o", "json").Output()
	var r api.Cost
	if err != nil || json.Unmarshal(out, &r) != nil {
		t.Fatalf("stoker cost: %v: %s", err, out)
	}
	l := r.Loans
	if l.Open != 0 || l.GPUs != 0 || l.Recalls != 1 || l.Overdue != 0 || l.GiveBack.Of != 1 || l.GiveBack.P50 <= 0 || l.Save.P50 <= 0 || l.Save.P50 > l.GiveBack.P50 {
		t.Errorf("the loans: %+v", l)
	}
	if len(l.Credits) != 1 || l.Credits[0].Loans != l.Loans || l.Credits[0].Recalls != 1 {
		t.Errorf("credits %+v of %d loans", l.Credits, l.Loans)
	}
	sum, line := 0.0, cost.Line{}
	for _, x := range r.Lines {
		sum += x.GPUSeconds
		if x.Name == "job "+j.Key.String() {
			line = x
		}
	}
	const slack = 3 // GPU-seconds: a loan begins with the admission, a lease a moment later
	if math.Abs(sum-r.Total.GPUSeconds) > 1e-6 || math.Abs(r.Total.Lent-line.Lent) > 1e-6 || line.Lent > line.GPUSeconds+1e-6 {
		t.Errorf("the lines add up to %.3f, the total is %.3f; lent %.3f, of it to the job %.3f of %.3f", sum, r.Total.GPUSeconds, r.Total.Lent, line.Lent, line.GPUSeconds)
	}
	if j.Time.Lent <= 0 || math.Abs(line.Lent-j.Time.Lent) > slack || math.Abs(l.Credits[0].GPUSeconds-j.Time.Lent) > slack || math.Abs(line.GPUSeconds-j.Time.Held) > slack {
		t.Errorf("the job had %+v, its line is %+v, the credit %+v", j.Time, line, l.Credits[0])
	}
	if trained := line.Causes[cost.Useful]; trained < j.Time.Useful-slack {
		t.Errorf("it trained for %.3f GPU-seconds, and useful are %.3f", j.Time.Useful, trained)
	}
}

// TestJobsAreSubmittedByEvent publishes manifests, once, twice, wrong and together.
func TestJobsAreSubmittedByEvent(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{GPUs: 1})
	nc := p.Admin()
	publish := func(id string, js ...functions.TrainingJob) dispatch.Answer {
		t.Helper()
		inbox := nc.NewInbox()
		sub, err := nc.SubscribeSync(inbox)
		if err != nil {
			t.Fatal(err)
		}
		var data []byte
		for _, j := range js {
			text, err := json.Marshal(j)
			if err != nil {
				t.Fatal(err)
			}
			data = append(append(data, text...), "\n---\n"...)
		}
		h := nats.Header{"ce-specversion": {"1.0"}, "ce-id": {id}, "ce-source": {"test"}, "ce-type": {"train"}, "ce-replyto": {inbox}, "content-type": {"application/yaml"}}
		if err := nc.PublishMsg(&nats.Msg{Subject: events.SubmitSubject(harness.Namespace), Header: h, Data: data}); err != nil {
			t.Fatal(err)
		}
		m, err := sub.NextMsg(harness.Patience)
		if err != nil {
			t.Fatalf("no answer to %s: %v", id, err)
		}
		var a dispatch.Answer
		if err := json.Unmarshal(m.Data, &a); err != nil {
			t.Fatalf("answer to %s: %q", id, m.Data)
		}
		return a
	}
	first := publish("one", p.Job("one", 1, "-steps", "1000000"))
	if !first.Accepted || len(first.Jobs) != 1 || first.Jobs[0].UID == "" {
		t.Fatalf("answered %+v", first)
	}
	p.AwaitPhase("one", job.Running)
	if again := publish("one", p.Job("one", 1, "-steps", "1000000")); !again.Accepted || again.Jobs[0].UID != first.Jobs[0].UID || again.Jobs[0].Action != "unchanged" {
		t.Errorf("the same event again: %+v", again)
	}
	if other := publish("other", p.Job("one", 1)); other.Accepted || !strings.Contains(strings.Join(other.Errors, " "), "give this one another name") {
		t.Errorf("another job of that name: %+v", other)
	}
	bad := p.Job("bad", 1)
	bad.Spec.Resources.GPUsPerNode, bad.Spec.Queue = -3, "No"
	if a := publish("bad", p.Job("good", 1), bad); a.Accepted || len(a.Errors) < 2 {
		t.Errorf("two mistakes are told as %q", a.Errors)
	}
	large, queue := p.Job("large", 7), p.Job("queue", 1)
	queue.Spec.Queue = "nightly"
	if a := publish("batch", p.Job("good", 1), large, queue); a.Accepted || !strings.Contains(strings.Join(a.Errors, " "), "the largest possible here is 1 node") || !strings.Contains(strings.Join(a.Errors, " "), `no queue "nightly"`) {
		t.Errorf("a job larger than the fleet and one for no queue: %q", a.Errors)
	}
	if _, err := p.API.Job(t.Context(), harness.Key("good")); err == nil {
		t.Error("half a batch was taken")
	}
	second := publish("two", p.Job("two", 1), p.Job("three", 1))
	if !second.Accepted || len(second.Jobs) != 2 {
		t.Errorf("a good batch: %+v", second)
	}
	w := p.AwaitJob("three", "waits", func(j api.Job) bool { return j.Waiting != nil && j.Waiting.Position == 2 })
	if w.Waiting.Lacks != 1 || !slices.Contains(w.Waiting.Holders, "default/one") {
		t.Errorf("it waits for %+v", w.Waiting)
	}
}
