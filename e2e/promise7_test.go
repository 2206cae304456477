package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// TestPromise7OverloadDegrades fills the small queue of a function that cannot start, since another one holds the
// only GPU.
func TestPromise7OverloadDegrades(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{})
	hog := p.Function("hog")
	hog.Spec.Scaling = functions.Scaling{Min: 1, Max: 1, Slots: 4}
	p.Apply(hog)
	p.Await("hog", "on the GPU", func(f api.Function) bool { return f.Ready == 1 })

	t.Run("the least urgent class is shed first, in records", func(t *testing.T) { shedByClass(t, p) })
	t.Run("a caller who waits is refused at once, with when to come back", func(t *testing.T) { refusedAtOnce(t, p) })
	t.Run("a fallback takes what would be refused", func(t *testing.T) { fallback(t, p) })
	t.Run("no class to shed: every class keeps its own depth", func(t *testing.T) { ownDepth(t, p) })
}

// crowded deploys a function that may keep three waiting requests of each class and has no GPU to run them on.
func crowded(t *testing.T, p *harness.Platform, name string, edit func(*functions.Function)) {
	t.Helper()
	f := p.Function(name)
	f.Spec.Queue.Depth = functions.Depth{Interactive: 3, Standard: 3, Batch: 3}
	if edit != nil {
		edit(&f)
	}
	p.Apply(f)
}

func publishN(t *testing.T, p *harness.Platform, name string, c functions.Class, n int) []string {
	t.Helper()
	js, ids := p.JetStream(), []string{}
	for i := range n {
		ids = append(ids, p.MustPublish(js, name, c, fmt.Sprint(i)))
	}
	return ids
}

func shedByClass(t *testing.T, p *harness.Platform) {
	crowded(t, p, "crowd", nil)
	batch := publishN(t, p, "crowd", functions.Batch, 3)
	p.Await("crowd", "waiting", func(f api.Function) bool { return f.Phase == scale.PhaseWaiting && f.Pending[functions.Batch] == 3 })
	interactive := publishN(t, p, "crowd", functions.Interactive, 5) // two more than their depth, so two batch requests give way
	shed := p.AwaitRecords("crowd", batch[1:])
	for id, rec := range shed {
		if rec.Status != events.StatusShed || rec.Cause != events.CauseQueueFull || rec.RetryAfter < 1 {
			t.Errorf("%s: %s (%s), retry after %d s; want shed, queue-full and when to try again", id, rec.Status, rec.Cause, rec.RetryAfter)
		}
	}
	standard := publishN(t, p, "crowd", functions.Standard, 3)
	p.Await("crowd", "all others waiting", func(f api.Function) bool {
		return maps.Equal(f.Pending, map[functions.Class]int{functions.Interactive: 5, functions.Standard: 3, functions.Batch: 1})
	})

	// Once there is a GPU, everything that was kept is answered.
	setMin(t, p, "hog", 0)
	kept := append(append(interactive, standard...), batch[0])
	for id, rec := range p.AwaitRecords("crowd", kept) {
		if rec.Status != events.StatusOK {
			t.Errorf("%s was kept and ended with %s: %s", id, rec.Status, rec.Message)
		}
	}
	p.AwaitZero("crowd")
	setMin(t, p, "hog", 1)
}

// setMin gives the GPU back, or takes it again.
func setMin(t *testing.T, p *harness.Platform, name string, n int) {
	t.Helper()
	if err := p.API.Scale(t.Context(), harness.Key(name), &n); err != nil {
		t.Fatal(err)
	}
	p.Await(name, fmt.Sprint(n, " replicas"), func(f api.Function) bool { return f.Ready == n && len(f.Replicas) == n })
}

func refusedAtOnce(t *testing.T, p *harness.Platform) {
	crowded(t, p, "full", func(f *functions.Function) { f.Spec.Overload.Shed = []functions.Class{} })
	publishN(t, p, "full", functions.Interactive, 3)
	p.Await("full", "full", func(f api.Function) bool { return f.Pending[functions.Interactive] == 3 })

	// Nobody answers requests here: whatever comes back was refused at the door.
	status, body := invoke(t, p, "full", `{}`)
	var e struct{ Error api.Error }
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if status != string(events.StatusShed) || e.Error.Code != http.StatusTooManyRequests || e.Error.Cause != events.CauseQueueFull || e.Error.Message == "" {
		t.Errorf("over NATS: %s %+v, want a shed 429", status, e.Error)
	}
	resp, err := http.Post(p.Server.HTTP+"/functions/default/full", "application/json", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	retry, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if resp.StatusCode != http.StatusTooManyRequests || err != nil || retry < 1 {
		t.Errorf("over HTTP: %s, Retry-After %q; want 429 and seconds", resp.Status, resp.Header.Get("Retry-After"))
	}
}

func fallback(t *testing.T, p *harness.Platform) {
	small := p.Function("small", "-tag", "from the fallback")
	small.Spec.Resources.GPUs = 0
	p.Apply(small)
	crowded(t, p, "large", func(f *functions.Function) {
		f.Spec.Overload = functions.Overload{Shed: []functions.Class{}, Fallback: "small"}
	})
	publishN(t, p, "large", functions.Interactive, 3)
	p.Await("large", "full", func(f api.Function) bool { return f.Pending[functions.Interactive] == 3 })
	contains(t, "the answer of a full function with a fallback", mustInvoke(t, p, "large", `{}`), "from the fallback")
}

func ownDepth(t *testing.T, p *harness.Platform) {
	crowded(t, p, "strict", func(f *functions.Function) { f.Spec.Overload.Shed = []functions.Class{} })
	publishN(t, p, "strict", functions.Batch, 3)
	ids := publishN(t, p, "strict", functions.Interactive, 5)
	for id, rec := range p.AwaitRecords("strict", ids[3:]) { // the newest go
		if rec.Status != events.StatusShed {
			t.Errorf("%s: %s, want shed", id, rec.Status)
		}
	}
	p.Await("strict", "three of each left", func(f api.Function) bool {
		return f.Pending[functions.Batch] == 3 && f.Pending[functions.Interactive] == 3
	})
}
