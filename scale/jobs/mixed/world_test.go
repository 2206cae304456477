package mixed

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"stoker.dev/stoker/scale"
	jobsim "stoker.dev/stoker/scale/jobs/simulate"
	"stoker.dev/stoker/scale/simulate"
)

const (
	share = 16 // GPUs inference is guaranteed
	own   = 16 // GPUs of training
	drain = 20 * time.Second
)

// fleet is a world with more jobs than training has GPUs for.
func fleet(t *testing.T, loans bool) *World {
	t.Helper()
	settings := simulate.Settings{
		Spec:      scale.Spec{Slots: 2, GPUs: 1, Max: 100, KeepAlive: scale.AutoKeepAlive, Wait: 5 * time.Second, WaitAt: 0.99},
		ColdStart: simulate.ColdStart{{P: 0.5, At: 10 * time.Second}},
	}
	var trace []jobsim.Submission
	r := rand.New(rand.NewPCG(1, 1))
	for at := time.Duration(0); at < 72*time.Hour; at += time.Duration(r.IntN(600)) * time.Second {
		trace = append(trace, jobsim.Submission{
			ID: fmt.Sprint(len(trace)), User: fmt.Sprint(r.IntN(4)), GPUs: 1 << r.IntN(4), At: at, Duration: time.Duration(60+r.IntN(2400)) * time.Second,
		})
	}
	w, err := New(Config{
		Requests: simulate.Config{Family: simulate.Stoker(), Settings: func(string) simulate.Settings { return settings }, Seed: 1, Pool: share},
		Jobs:     jobsim.Config{GPUs: own, Overhead: 30 * time.Second, Drain: drain, Borrow: loans, Policy: "stoker"},
		Trace:    trace,
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// busy are requests of three days: by day many, by night few, and in the last one very many at once.
func (w *World) busy(t *testing.T, after func(at time.Duration)) {
	t.Helper()
	r := rand.New(rand.NewPCG(2, 2))
	for at := time.Duration(0); at < 72*time.Hour; {
		gap := 60.0
		if hour := int(at.Hours()) % 24; hour >= 8 && hour < 20 {
			gap = 1.5
		}
		if at > 51*time.Hour && at < 51*time.Hour+2*time.Minute {
			gap = 0.2
		}
		at += time.Duration(r.ExpFloat64() * gap * float64(time.Second))
		if err := w.Arrive(simulate.Arrival{At: at, Function: "f", Service: time.Duration(r.IntN(20)) * time.Second}); err != nil {
			t.Fatal(err)
		}
		after(at)
	}
}

// TestLoansHelpJobsAndDoNotHarmRequests, and no GPU is held by both.
func TestLoansHelpJobsAndDoNotHarmRequests(t *testing.T) {
	var results [2]Result
	for i, loans := range []bool{false, true} {
		w := fleet(t, loans)
		w.busy(t, func(time.Duration) {
			if held := w.requests.Held() + w.jobs.Lent(); held > share {
				t.Fatalf("%d of %d GPUs held", held, share)
			}
		})
		r, err := w.Finish()
		if err != nil {
			t.Fatal(err)
		}
		results[i] = r
	}
	off, on := results[0], results[1]
	if off.Lent != (jobsim.Loans{}) || on.Lent.Loans == 0 || on.Lent.Recalls == 0 || on.Lent.GPUSeconds == 0 {
		t.Errorf("loans: without %+v, with %+v", off.Lent, on.Lent)
	}
	if on.Jobs.MeanWait > off.Jobs.MeanWait/1.5 || on.Jobs.Jobs != off.Jobs.Jobs {
		t.Errorf("jobs wait for %.0f s with loans, and %.0f s without", on.Jobs.MeanWait, off.Jobs.MeanWait)
	}
	if on.Requests.Attainment < off.Requests.Attainment-0.001 || on.Requests.Requests != off.Requests.Requests || on.Requests.Unserved != 0 {
		t.Errorf("requests: with loans %+v\nwithout %+v", on.Requests, off.Requests)
	}
}

// TestWhatInferenceWantsComesBack: within the time jobs take to drain.
func TestWhatInferenceWantsComesBack(t *testing.T) {
	w := fleet(t, true)
	since, times := time.Duration(-1), 0 // since when it has lacked GPUs while some were lent
	w.busy(t, func(at time.Duration) {
		switch {
		case w.requests.Lacks() == 0 || w.jobs.Lent() == 0:
			since = -1
		case since < 0:
			since, times = at, times+1
		case at > since+drain+time.Second:
			t.Fatalf("at %v inference has lacked %d GPUs since %v, and %d are lent", at, w.requests.Lacks(), since, w.jobs.Lent())
		}
	})
	if times == 0 {
		t.Error("inference never lacked what was lent: this shows nothing")
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []Config{{}, {Requests: simulate.Config{Pool: 1}}} {
		if _, err := New(c); !errors.Is(err, jobsim.ErrJobs) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
