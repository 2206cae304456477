package providertest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/scale"
)

func foreign(t *testing.T, h *Harness) {
	inv, err := h.Provider.Inventory(t.Context())
	if err != nil || len(inv.Devices) < 2 {
		t.Fatalf("the harness needs two devices: %+v, %v", inv, err)
	}
	for _, d := range inv.Devices {
		if d.Foreign != "" || !d.Healthy || d.Node == "" || d.Product == "" || d.Memory == 0 {
			t.Errorf("a free device: %+v", d)
		}
	}
	taken := inv.Devices[0].ID
	h.Hold(taken, "somebody else")
	inv, err = h.Provider.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	held := slices.IndexFunc(inv.Devices, func(d scale.Device) bool { return d.Foreign != "" })
	if held < 0 || !h.Counted && inv.Devices[held].ID != taken {
		t.Fatalf("%s is held by somebody else, and listed are %+v", taken, inv.Devices)
	}
	taken = inv.Devices[held].ID
	var l scale.Ledger
	now := time.Now()
	l.SetInventory(inv.Nodes, inv.Devices, now)
	for i := range len(inv.Devices) {
		lease, err := l.Reserve(scale.Ask{Holder: fmt.Sprint("r", i), Owner: "test", GPUs: 1}, time.Minute, now)
		if last := i == len(inv.Devices)-1; last != (err != nil) {
			t.Errorf("reservation %d of %d devices, one of them foreign: %v", i+1, len(inv.Devices), err)
		}
		if err == nil && lease.Devices[0] == taken {
			t.Errorf("placed on %s, which somebody else holds", taken)
		}
	}
}

// crashCause plays a crash, again while the agent left no word: one that a kubelet ends while its process
// still starts can leave none.
func crashCause(t *testing.T, h *Harness) {
	const plays = 10
	for play := range plays {
		s := crash(t, h)
		if s.Last == nil && play < plays-1 {
			continue
		}
		if s.Last == nil || s.Last.Phase != events.PhaseExited {
			t.Errorf("after %d crashes the agent's last status is missing: %+v", play+1, s.Last)
		}
		return
	}
}

// crash is how a replica ended that crashed.
func crash(t *testing.T, h *Harness) activities.ReplicaStatus {
	spec := h.replica(Crashes)
	if err := insist(t, h.Provider, spec); err != nil {
		t.Fatal(err)
	}
	s := awaitState(t, h.Provider, spec.ID, activities.RunGone)
	if s.Cause != events.CauseCrashed || s.ExitCode != CrashCode {
		t.Errorf("cause %q, exit code %d; want %q, %d", s.Cause, s.ExitCode, events.CauseCrashed, CrashCode)
	}
	first, last := fmt.Sprintf("line %d\n", OutputLines/2), fmt.Sprintf("line %d", OutputLines)
	if !strings.Contains(s.Message, last) || strings.Contains(s.Message+"\n", first) {
		t.Errorf("the message is not the last lines of output:\n%s", s.Message)
	}
	return s
}

func grace(t *testing.T, h *Harness) {
	spec := h.replica(Serves)
	start(t, h, spec)
	within(t, "the server writes", func() bool { return len(lines(t, h, spec.ID, 1)) > 0 })
	if err := insistStop(t, h.Provider, spec.ID, patience); err != nil {
		t.Fatal(err)
	}
	s := awaitState(t, h.Provider, spec.ID, activities.RunGone)
	if s.Cause != events.CauseDrained {
		t.Errorf("asked with a long grace, it ended by %q: %s", s.Cause, s.Message)
	}
	if took := s.Ended.Sub(s.Started); took >= patience {
		t.Errorf("it went only after its whole grace: %v", took)
	}
}

func deaf(t *testing.T, h *Harness) {
	spec := h.replica(Deaf)
	start(t, h, spec)
	within(t, "the server writes", func() bool { return len(lines(t, h, spec.ID, 1)) > 0 })
	const grace = 5 * time.Second // so long that a slow call is told from one that waits
	asked := time.Now()
	if err := insistStop(t, h.Provider, spec.ID, grace); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(asked); took > grace {
		t.Errorf("Stop waited %v for the end", took)
	}
	s := awaitState(t, h.Provider, spec.ID, activities.RunGone)
	if s.Cause != events.CauseKilled {
		t.Errorf("ended by %q, want %q", s.Cause, events.CauseKilled)
	}
	if took := s.Ended.Sub(asked); took < grace {
		t.Errorf("killed after %v, its grace was %v", took, grace)
	}

	spec = h.replica(Deaf) // a shorter grace wins over a longer one
	start(t, h, spec)
	for _, grace := range []time.Duration{time.Hour, 0, time.Hour} {
		if err := insistStop(t, h.Provider, spec.ID, grace); err != nil {
			t.Fatal(err)
		}
	}
	awaitState(t, h.Provider, spec.ID, activities.RunGone)
}

func grandchildren(t *testing.T, h *Harness) {
	if h.Processes == nil {
		t.Log("not run: this provider's replicas have no processes")
		return
	}
	for _, end := range []string{"stopped", "restarted and stopped"} {
		spec := h.replica(Daemonizes)
		start(t, h, spec)
		within(t, "the server writes", func() bool { return len(lines(t, h, spec.ID, 1)) > 0 })
		const least = 3 // agent, server, and what left the session
		within(t, "the tree grows", func() bool { return len(h.Processes(t, spec.ID)) >= least })
		if end != "stopped" {
			h.Provider = h.Restart(t)
		}
		stop(t, h, spec.ID)
		if left := h.Processes(t, spec.ID); len(left) > 0 {
			t.Errorf("%s: processes %v outlived their replica", end, left)
		}
	}
}

func forget(t *testing.T, h *Harness) {
	spec := h.replica(Serves)
	if err := h.Provider.Forget(t.Context(), spec.ID); err != nil {
		t.Errorf("forgetting what never was: %v", err)
	}
	start(t, h, spec)
	if err := h.Provider.Forget(t.Context(), spec.ID); err == nil {
		t.Error("a running replica was forgotten")
	}
	stop(t, h, spec.ID)
	for range 2 {
		if err := h.Provider.Forget(t.Context(), spec.ID); err != nil {
			t.Errorf("forget: %v", err)
		}
	}
	if s, there := find(t, h.Provider, spec.ID); there {
		t.Errorf("forgotten, and listed: %+v", s)
	}
	h.Provider = h.Restart(t)
	if s, there := find(t, h.Provider, spec.ID); there {
		t.Errorf("forgotten, and listed after a restart: %+v", s)
	}
	if err := h.Provider.Start(t.Context(), spec); err == nil {
		t.Error("a late start revived a forgotten replica")
	}
	if h.LogsGo {
		return
	}
	if got := lines(t, h, spec.ID, 0); len(got) > OutputLines {
		t.Errorf("%d lines of a forgotten replica", len(got))
	}
}
