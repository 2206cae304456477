package providertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"stoker.dev/stoker/activities"
)

// Run checks a provider. Each part gets a harness of its own. Parts that need what a harness
// does not have are named in the output and do not run.
func Run(t *testing.T, harness func(t *testing.T) *Harness) {
	parts := []struct {
		name string
		test func(t *testing.T, h *Harness)
	}{
		{"StartTwiceRunsOnce", startTwice},
		{"StopTwiceStopsOnce", stopTwice},
		{"AStopWhileStartingWins", stopWhileStarting},
		{"AStopForbidsALaterStart", stopBeforeStart},
		{"AnOlderEpochIsRefused", fenced},
		{"AnIDRunsAtMostOnce", endedStaysEnded},
		{"AReplicaIsAdopted", adopted},
		{"AStopOutlivesTheProvider", stoppedStaysStopped},
		{"ALostNodeKeepsItsReplicas", lostAndReturned},
		{"ForeignHoldersAreNotPlacedOn", foreign},
		{"ACrashTellsItsCause", crashCause},
		{"GraceIsKeptAndEnds", grace},
		{"ADeafReplicaIsKilled", deaf},
		{"GrandchildrenGoToo", grandchildren},
		{"WatchIsLevelTriggered", watchLevel},
		{"WatchEndsWithItsContext", watchEnds},
		{"LogsTail", logsTail},
		{"LogsOfAnother", logsOfAnother},
		{"LogsFollowToTheEnd", logsFollow},
		{"ForgetDropsOnlyWhatIsGone", forget},
		{"FiftyStartAtOnce", fifty},
		{"ARankIsAReplica", ranksLive},
		{"ARankAtTheBarrierGoesWhenAsked", ranksGoWhenAsked},
		{"NothingLeaks", leaks},
	}
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) {
			h := harness(t)
			p.test(t, h)
			settle(t, h)
		})
	}
}

// settle ends and forgets every replica, and looks for what is left.
func settle(t *testing.T, h *Harness) {
	t.Helper()
	all, err := h.Provider.List(t.Context())
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	for _, s := range all {
		stop(t, h, s.ID)
		if err := h.Provider.Forget(t.Context(), s.ID); err != nil {
			t.Errorf("forget %s: %v", s.ID, err)
		}
		if h.Processes != nil {
			if left := h.Processes(t, s.ID); len(left) > 0 {
				t.Errorf("replica %s is gone, and its processes %v live", s.ID, left)
			}
		}
	}
	if left, err := h.Provider.List(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("after all was forgotten there are %+v, %v", left, err)
	}
	if h.Settled != nil {
		h.Settled(t)
	}
}

func startTwice(t *testing.T, h *Harness) {
	spec := h.replica(Serves)
	first := start(t, h, spec)
	again := start(t, h, spec)
	if first.PID != again.PID || !first.Started.Equal(again.Started) {
		t.Errorf("the second start made another one: %+v, then %+v", first, again)
	}
	if all, _ := h.Provider.List(t.Context()); len(all) != 1 {
		t.Errorf("%d replicas, want 1", len(all))
	}
	if first.Key != spec.Key || first.Revision != spec.Revision || first.Epoch != spec.Lease.Epoch || first.Node == "" {
		t.Errorf("status %+v does not say what was started", first)
	}
}

func stopTwice(t *testing.T, h *Harness) {
	spec := h.replica(Serves)
	start(t, h, spec)
	for range 2 {
		if err := insistStop(t, h.Provider, spec.ID, 0); err != nil {
			t.Fatal(err)
		}
	}
	gone := awaitState(t, h.Provider, spec.ID, activities.RunGone)
	if gone.Ended.IsZero() || gone.Cause == "" {
		t.Errorf("gone without when or why: %+v", gone)
	}
	if err := insistStop(t, h.Provider, spec.ID, time.Minute); err != nil {
		t.Errorf("stopping what is gone: %v", err)
	}
	if s, _ := find(t, h.Provider, spec.ID); !s.Ended.Equal(gone.Ended) || s.State != activities.RunGone {
		t.Errorf("stopping what is gone changed it: %+v, before %+v", s, gone)
	}
}

func stopWhileStarting(t *testing.T, h *Harness) {
	const rounds = 10
	for range rounds {
		spec := h.replica(Serves)
		started := make(chan error, 1)
		go func() { started <- h.Provider.Start(t.Context(), spec) }()
		if err := insistStop(t, h.Provider, spec.ID, 0); err != nil {
			t.Fatal(err)
		}
		err := <-started
		switch {
		case errors.Is(err, activities.ErrStopped): // the stop came first
			if s, there := find(t, h.Provider, spec.ID); there {
				t.Errorf("a refused start left %+v", s)
			}
		case err == nil:
			awaitState(t, h.Provider, spec.ID, activities.RunGone)
		default:
			t.Errorf("start: %v", err)
		}
	}
}

func stopBeforeStart(t *testing.T, h *Harness) {
	spec := h.replica(Serves)
	for range 2 {
		if err := insistStop(t, h.Provider, spec.ID, time.Second); err != nil {
			t.Fatalf("stopping what never ran: %v", err)
		}
	}
	if err := h.Provider.Start(t.Context(), spec); !errors.Is(err, activities.ErrStopped) {
		t.Errorf("a start after the stop: %v, want ErrStopped", err)
	}
	spec.Lease.Epoch++
	if err := h.Provider.Start(t.Context(), spec); !errors.Is(err, activities.ErrStopped) {
		t.Errorf("a newer start after the stop: %v, want ErrStopped", err)
	}
}

func fenced(t *testing.T, h *Harness) {
	spec := h.replica(Serves)
	start(t, h, spec)
	late := spec
	late.Lease.Epoch = spec.Lease.Epoch - 1
	if err := h.Provider.Start(t.Context(), late); !errors.Is(err, activities.ErrFenced) {
		t.Errorf("an older epoch: %v, want ErrFenced", err)
	}
	newer := spec
	newer.Lease.Epoch = spec.Lease.Epoch + 1
	if err := h.Provider.Start(t.Context(), newer); err != nil {
		t.Errorf("a newer epoch for what runs: %v", err)
	}
	if err := h.Provider.Start(t.Context(), spec); !errors.Is(err, activities.ErrFenced) {
		t.Errorf("the epoch before the newest: %v, want ErrFenced", err)
	}
}

func endedStaysEnded(t *testing.T, h *Harness) {
	spec := h.replica(Crashes)
	if err := insist(t, h.Provider, spec); err != nil {
		t.Fatal(err)
	}
	gone := awaitState(t, h.Provider, spec.ID, activities.RunGone)
	if err := h.Provider.Start(t.Context(), spec); err != nil {
		t.Errorf("a repeated start of what ended: %v", err)
	}
	never(t, "an ID ran twice", func() bool {
		s, _ := find(t, h.Provider, spec.ID)
		return s.State != activities.RunGone || !s.Started.Equal(gone.Started)
	})
}

func adopted(t *testing.T, h *Harness) {
	spec := h.replica(Serves)
	before := start(t, h, spec)
	h.Provider = h.Restart(t)
	after := awaitState(t, h.Provider, spec.ID, activities.RunRunning)
	if after.PID != before.PID || !after.Started.Equal(before.Started) || after.Epoch != before.Epoch ||
		after.Key != before.Key || after.Revision != before.Revision || after.Node != before.Node {
		t.Errorf("adopted as %+v, was %+v", after, before)
	}
	if err := h.Provider.Start(t.Context(), spec); err != nil {
		t.Errorf("a repeated start of what was adopted: %v", err)
	}
	late := spec
	late.Lease.Epoch--
	if err := h.Provider.Start(t.Context(), late); !errors.Is(err, activities.ErrFenced) {
		t.Errorf("an older epoch after the restart: %v, want ErrFenced", err)
	}
	stop(t, h, spec.ID)
}

func stoppedStaysStopped(t *testing.T, h *Harness) {
	unknown, ran := h.replica(Serves), h.replica(Serves)
	start(t, h, ran)
	stop(t, h, ran.ID)
	if err := insistStop(t, h.Provider, unknown.ID, 0); err != nil {
		t.Fatal(err)
	}
	h.Provider = h.Restart(t)
	if s := awaitState(t, h.Provider, ran.ID, activities.RunGone); s.Cause == "" || s.Ended.IsZero() {
		t.Errorf("after the restart nobody knows why it ended: %+v", s)
	}
	for _, spec := range []activities.ReplicaSpec{unknown, ran} {
		if err := h.Provider.Start(t.Context(), spec); !errors.Is(err, activities.ErrStopped) {
			t.Errorf("a start after stop and restart: %v, want ErrStopped", err)
		}
	}
}

func lostAndReturned(t *testing.T, h *Harness) {
	if h.SetLost == nil {
		t.Log("not run: this provider's node cannot be out of its own reach")
		return
	}
	spec := h.replica(Serves)
	before := start(t, h, spec)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen, err := h.Provider.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	h.SetLost(true)
	await(t, seen, spec.ID, activities.RunUnknown)
	if inv, err := h.Provider.Inventory(t.Context()); err != nil || len(inv.Nodes) != 0 || len(inv.Devices) != 0 {
		t.Errorf("the lost node is listed: %+v, %v", inv, err)
	}
	if err := h.Provider.Forget(t.Context(), spec.ID); err == nil {
		t.Error("a replica out of reach was forgotten")
	}
	h.SetLost(false)
	after := await(t, seen, spec.ID, activities.RunRunning)
	if after.PID != before.PID || !after.Started.Equal(before.Started) {
		t.Errorf("returned as %+v, was %+v", after, before)
	}
}
