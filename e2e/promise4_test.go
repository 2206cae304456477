package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// TestPromise4AGPUHasOneHolder lets three functions fight over two GPUs while replicas are killed. The model servers
// hold a lock on their GPU for as long as one process of their tree lives, so the kernel is the witness.
func TestPromise4AGPUHasOneHolder(t *testing.T) { t.Parallel(); aGPUHasOneHolder(t, here) }

func aGPUHasOneHolder(t *testing.T, up starter) {
	p := up(t, harness.Options{GPUs: 2})
	names := []string{"one", "two", "three"}
	for i, name := range names {
		args := []string{"-delay", "100ms"}
		if i == 0 {
			args = append(args, "-mode", "grandchild") // leaves a process in a session of its own
		}
		f := p.Function(name, args...)
		f.Spec.Scaling = functions.Scaling{Max: 2, Slots: 2, KeepAlive: "500ms"}
		f.Spec.Queue.Attempts = 20
		p.Apply(f)
	}
	watch := watchLedger(t, p)
	ids := map[string][]string{}
	js := p.JetStream()
	for round := range 4 {
		for _, name := range names {
			for range 4 {
				ids[name] = append(ids[name], p.MustPublish(js, name, functions.Standard, "x"))
			}
		}
		if round%2 == 0 {
			kill(t, p, harness.Agent)
		} else {
			kill(t, p, harness.ModelServer)
		}
		for _, name := range names {
			p.AwaitRecords(name, ids[name])
		}
	}
	watch.stop()
	t.Logf("%d looks at the ledger, at most %d GPUs held", watch.looks, watch.most)
	if watch.most == 0 {
		t.Error("no look at the ledger saw a GPU held")
	}
	if c := p.Conflicts(); len(c) > 0 {
		t.Errorf("a GPU was given away while a process still had it: %+v", c)
	}
	for _, name := range names {
		p.AwaitZero(name)
	}
	if left := p.Processes(); len(left) > 0 {
		t.Errorf("all leases are released and these still run: %v", left)
	}
}

// ledgerWatch samples the ledger until it is stopped.
type ledgerWatch struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	looks  int
	most   int
}

func watchLedger(t *testing.T, p *harness.Platform) *ledgerWatch {
	ctx, cancel := context.WithCancel(t.Context())
	w := &ledgerWatch{cancel: cancel}
	w.done.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if st, err := p.API.Platform(ctx); err == nil {
				w.look(t, st)
			}
		}
	})
	t.Cleanup(w.stop)
	return w
}

func (w *ledgerWatch) stop() {
	w.cancel()
	w.done.Wait()
}

func (w *ledgerWatch) look(t *testing.T, st api.Platform) {
	holders := map[string]string{}
	for _, x := range st.Leases {
		for _, d := range x.Devices {
			if other, twice := holders[d]; twice {
				t.Errorf("GPU %s is held by %s and %s", d, other, x.Holder)
			}
			holders[d] = x.Holder
		}
	}
	if len(holders) > st.Capacity || st.Free+len(holders) > st.Capacity {
		t.Errorf("%d GPUs held and %d free of %d", len(holders), st.Free, st.Capacity)
	}
	w.looks, w.most = w.looks+1, max(w.most, len(holders))
}

// TestPromise4TheLeaseOutlivesTheSignal freezes a replica that was told to go: until its tree is dead nobody else
// gets the GPU.
func TestPromise4TheLeaseOutlivesTheSignal(t *testing.T) {
	t.Parallel()
	theLeaseOutlivesTheSignal(t, here)
}

func theLeaseOutlivesTheSignal(t *testing.T, up starter) {
	p := up(t, harness.Options{})
	old := p.Function("old", "-mode", "grandchild")
	old.Spec.Scaling.KeepAlive = "10m"
	old.Spec.Runtime.Drain.Grace = functions.Duration(30 * time.Second)
	p.Apply(old, p.Function("next"))
	mustInvoke(t, p, "old", "x")

	// Frozen, the agent cannot obey: it gets the notice, and then the kill at the end of its grace.
	agent := p.Running(harness.Agent)[0]
	harness.Signal(t, agent.PID, unix.SIGSTOP)
	if err := p.API.Pause(t.Context(), harness.Key("old"), true); err != nil {
		t.Fatal(err)
	}
	js := p.JetStream()
	id := p.MustPublish(js, "next", functions.Interactive, "x")
	p.Await("next", "waiting for the GPU", func(f api.Function) bool { return f.Phase == scale.PhaseWaiting })
	contains(t, "stoker explain next", stoker(t, p, "explain", "next"), "default/old")
	harness.Hold(t, 3*time.Second, "the lease of a replica that was told to go", func() (bool, any) {
		next := p.Running(harness.ModelServer)
		st, err := p.API.Platform(t.Context())
		return err == nil && st.Free == 0 && len(next) == 2, fmt.Sprint(st.Leases, next, err)
	})
	harness.Signal(t, agent.PID, unix.SIGCONT)
	p.AwaitRecords("next", []string{id})
	if c := p.Conflicts(); len(c) > 0 {
		t.Errorf("the GPU had two holders: %+v", c)
	}
}
