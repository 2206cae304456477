package providertest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/functions"
)

// await reads a watch until a replica is in a state.
func await(t *testing.T, seen <-chan activities.ReplicaStatus, id string, want activities.RunState) activities.ReplicaStatus {
	t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	for {
		select {
		case s, open := <-seen:
			if !open {
				t.Fatal("the watch ended")
			}
			if s.ID == id && s.State == want {
				return s
			}
		case <-end.C:
			t.Fatalf("replica %s was not seen %s within %v", id, want, patience)
		}
	}
}

func watchLevel(t *testing.T, h *Harness) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	slow, err := h.Provider.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	const replicas = 5
	live, gone := h.replica(Serves), []string{}
	start(t, h, live)
	for range replicas {
		spec := h.replica(Serves)
		start(t, h, spec)
		stop(t, h, spec.ID)
		gone = append(gone, spec.ID)
	}
	// The reader reads only now. It may hold one status in its hands since the beginning;
	// beyond that it sees each replica as it is.
	newest := map[string]activities.RunState{}
	reads := 0
	for newest[live.ID] != activities.RunRunning || len(newest) < replicas+1 ||
		slices.ContainsFunc(gone, func(id string) bool { return newest[id] != activities.RunGone }) {
		s := <-slow
		if newest[s.ID] == activities.RunGone && s.State != activities.RunGone {
			t.Fatalf("%s was gone and is %s", s.ID, s.State)
		}
		newest[s.ID] = s.State
		if reads++; reads > replicas+2 {
			t.Fatalf("%d reads for %d replicas: old news were queued", reads, replicas+1)
		}
	}
	late, err := h.Provider.Watch(ctx) // one that comes late is told what there is
	if err != nil {
		t.Fatal(err)
	}
	await(t, late, live.ID, activities.RunRunning)
}

func watchEnds(t *testing.T, h *Harness) {
	ctx, cancel := context.WithCancel(t.Context())
	seen, err := h.Provider.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	start(t, h, h.replica(Serves))
	cancel()
	end := time.NewTimer(patience)
	defer end.Stop()
	for {
		select {
		case _, open := <-seen:
			if !open {
				return
			}
		case <-end.C:
			t.Fatal("the watch outlives its context")
		}
	}
}

// lines reads a replica's output, without following.
func lines(t *testing.T, h *Harness, id string, tail int) []string {
	t.Helper()
	r, err := h.Provider.Logs(t.Context(), id, activities.LogOptions{Tail: tail})
	if err != nil {
		t.Fatalf("logs: %v", err)
	}
	defer r.Close()
	return read(t, r)
}

func read(t *testing.T, r io.Reader) []string {
	t.Helper()
	var out []string
	s := bufio.NewScanner(r)
	for s.Scan() {
		out = append(out, s.Text())
	}
	if err := s.Err(); err != nil {
		t.Fatalf("logs: %v", err)
	}
	return out
}

func logsTail(t *testing.T, h *Harness) {
	if _, err := h.Provider.Logs(t.Context(), h.replica(Serves).ID, activities.LogOptions{}); !errors.Is(err, activities.ErrNoReplica) {
		t.Errorf("logs of what never ran: %v, want ErrNoReplica", err)
	}
	spec := h.replica(Serves)
	start(t, h, spec)
	within(t, "all output", func() bool { return len(lines(t, h, spec.ID, 0)) == OutputLines })
	for _, n := range []int{0, 1, 3, OutputLines, 10 * OutputLines} {
		var want []string
		first := 1
		if n > 0 {
			first = max(1, OutputLines-n+1)
		}
		for i := first; i <= OutputLines; i++ {
			want = append(want, fmt.Sprintf("line %d", i))
		}
		if got := lines(t, h, spec.ID, n); !slices.Equal(got, want) {
			t.Errorf("tail %d: %q, want %q", n, got, want)
		}
	}
}

// logsOfAnother is how a namespace is kept from reading another one's output: whoever asks for the
// replica of another function hears the same as if there were none, also once it ended.
func logsOfAnother(t *testing.T, h *Harness) {
	spec := h.replica(Serves)
	start(t, h, spec)
	another := functions.Key{Namespace: "another", Name: spec.Key.Name}
	check := func() {
		t.Helper()
		_, err := h.Provider.Logs(t.Context(), spec.ID, activities.LogOptions{Key: another})
		_, unknown := h.Provider.Logs(t.Context(), "nobody", activities.LogOptions{Key: another})
		if !errors.Is(err, activities.ErrNoReplica) || err.Error() != strings.Replace(unknown.Error(), "nobody", spec.ID, 1) {
			t.Errorf("logs of another function's replica: %v, want the same as %v", err, unknown)
		}
		if _, there := find(t, h.Provider, spec.ID); h.LogsGo && !there {
			return
		}
		own, err := h.Provider.Logs(t.Context(), spec.ID, activities.LogOptions{Key: spec.Key})
		if err != nil {
			t.Fatalf("logs of an own replica: %v", err)
		}
		own.Close()
	}
	check()
	stop(t, h, spec.ID)
	check()
	if err := h.Provider.Forget(t.Context(), spec.ID); err != nil {
		t.Fatal(err)
	}
	check()
}

func logsFollow(t *testing.T, h *Harness) {
	spec := h.replica(Serves)
	start(t, h, spec)
	r, err := h.Provider.Logs(t.Context(), spec.ID, activities.LogOptions{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := bufio.NewScanner(r)
	for i := 1; i <= OutputLines; i++ {
		if !s.Scan() || s.Text() != fmt.Sprintf("line %d", i) {
			t.Fatalf("line %d is %q, %v", i, s.Text(), s.Err())
		}
	}
	stop(t, h, spec.ID)
	if s.Scan() || s.Err() != nil {
		t.Errorf("after the end: %q, %v", s.Text(), s.Err())
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancelled, err := h.Provider.Logs(ctx, spec.ID, activities.LogOptions{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer cancelled.Close()
	cancel()
	if _, err := io.Copy(io.Discard, cancelled); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled reader: %v", err)
	}
}

func fifty(t *testing.T, h *Harness) {
	const n = 50
	specs := make([]activities.ReplicaSpec, n)
	var wg sync.WaitGroup
	for i := range specs {
		specs[i] = h.replica(Serves)
		for range 2 { // each twice, as an activity does that has timed out and still runs
			wg.Go(func() {
				if err := insist(t, h.Provider, specs[i]); err != nil {
					t.Errorf("start: %v", err)
				}
			})
		}
	}
	wg.Wait()
	pids := map[int]bool{}
	for _, spec := range specs {
		pids[awaitState(t, h.Provider, spec.ID, activities.RunRunning).PID] = true
	}
	if h.Processes != nil && !pids[0] && len(pids) != n { // a process ID of another node tells nobody anything: 0
		t.Errorf("%d replicas have %d agents", n, len(pids))
	}
	for _, spec := range specs {
		wg.Go(func() {
			if err := insistStop(t, h.Provider, spec.ID, 0); err != nil {
				t.Errorf("stop: %v", err)
			}
		})
	}
	wg.Wait()
	for _, spec := range specs {
		awaitState(t, h.Provider, spec.ID, activities.RunGone)
	}
}

func leaks(t *testing.T, h *Harness) {
	round := func() {
		spec := h.replica(Serves)
		start(t, h, spec)
		ctx, cancel := context.WithCancel(t.Context())
		seen, err := h.Provider.Watch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		await(t, seen, spec.ID, activities.RunRunning)
		lines(t, h, spec.ID, 1)
		stop(t, h, spec.ID)
		cancel()
		if err := h.Provider.Forget(t.Context(), spec.ID); err != nil {
			t.Fatal(err)
		}
	}
	round() // what is made once is made now
	before := runtime.NumGoroutine()
	const rounds = 5
	for range rounds {
		round()
	}
	within(t, "the goroutines go", func() bool { return runtime.NumGoroutine() <= before })
}
