package platform

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/activities/simulated"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/config"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

const (
	// inTime bounds what must happen on a machine that runs other tests too.
	inTime = 3 * time.Minute
	// afterJump is how long nothing may happen after a jump: longer than silence is noticed (five seconds after a
	// replica's last word), which a jump must not make of it.
	afterJump = 3 * time.Second
)

// jumps is a machine's clock whose wall part a test sets.
type jumps struct{ hands }

func (j *jumps) clock() Clock {
	own := machine()
	return Clock{Running: own.Running, Wall: func() time.Time {
		j.mu.Lock()
		defer j.mu.Unlock()
		return own.Wall().Round(0).Add(j.running) // how far it was set
	}}
}

func (j *jumps) by(d time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.running += d
}

// TestClockJumps sets the wall clock of a real platform, with broker, Temporal and controller, forward and back by an
// hour and by NTP's small steps: nothing that is warm goes, nothing counts as failed, no lease ends, and no account
// shows an hour that nobody lived through. What should happen afterwards still does.
func TestClockJumps(t *testing.T) {
	clock := &jumps{}
	p, client := startJumping(t, clock)
	deploy(t, client, "steady", "min: 1, max: 1", "10m")
	deploy(t, client, "idle", "max: 1", "10m")
	deploy(t, client, "slow", "max: 1", "10m")
	pin(t, client, "idle", 1)
	await(t, client, "steady", "ready", func(f api.Function) bool { return f.Ready == 1 })
	await(t, client, "idle", "ready", func(f api.Function) bool { return f.Ready == 1 })
	pin(t, client, "slow", 1)
	await(t, client, "slow", "loading", func(f api.Function) bool { return f.Starting == 1 })
	unpin(t, client, "idle") // warm only by its keep-alive of ten minutes
	before, leases := replicas(t, client), holders(p)
	for _, jump := range []time.Duration{time.Hour, -2 * time.Hour, time.Hour, -200 * time.Millisecond, 150 * time.Millisecond, -time.Hour} {
		clock.by(jump)
		hold(t, fmt.Sprint("after a jump of ", jump), func() error { return unchanged(t, client, p, before, leases) })
	}
	await(t, client, "slow", "ready", func(f api.Function) bool { return f.Ready == 1 })

	deploy(t, client, "late", "max: 1", "1s") // while the clock is an hour behind
	pin(t, client, "late", 1)
	await(t, client, "late", "ready", func(f api.Function) bool { return f.Ready == 1 })
	unpin(t, client, "late")
	await(t, client, "late", "at zero", func(f api.Function) bool { return f.Phase == scale.PhaseZero && len(f.Replicas) == 0 })
	checkAccounts(t, client)
}

// startJumping starts a platform on simulated GPUs. Of the replicas, those of "slow" take their time to load.
func startJumping(t *testing.T, clock *jumps) (*Platform, *api.Client) {
	t.Helper()
	p, err := Start(t.Context(), Options{
		Config: config.Config{
			DataDir: t.TempDir(), Listen: "127.0.0.1:0", NATSListen: "127.0.0.1", RandomPorts: true, Provider: "simulated", Pool: "default",
			LogLevel: "warn", LogFormat: "text", DiskWatermark: "64Mi", Records: 1000, RecordRoom: "64Mi", DrainGrace: time.Second, GiveBack: time.Minute,
		},
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})), Progress: t.Output(), Clock: clock.clock(),
		Simulated: simulated.Options{GPUs: 8, Fate: func(r activities.ReplicaSpec, _ *rand.Rand) simulated.Fate {
			if r.Key.Name == "slow" {
				return simulated.Fate{Load: 30 * time.Second}
			}
			return simulated.Fate{}
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), inTime)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	s := p.Server()
	return p, api.NewClient(s.HTTP, s.AdminToken, nil)
}

func deploy(t *testing.T, c *api.Client, name, bounds, keepAlive string) {
	t.Helper()
	manifest := fmt.Sprintf("apiVersion: stoker.dev/v1\nkind: Function\nmetadata: {name: %s}\nspec:\n  runtime: {image: none}\n  resources: {gpus: 1}\n  scaling: {%s, keepAlive: %s}\n", name, bounds, keepAlive)
	if _, err := c.Apply(t.Context(), name+".yaml", []byte(manifest), false); err != nil {
		t.Fatal(err)
	}
}

func key(name string) functions.Key { return functions.Key{Namespace: "default", Name: name} }

func pin(t *testing.T, c *api.Client, name string, n int) {
	t.Helper()
	if err := c.Scale(t.Context(), key(name), &n); err != nil {
		t.Fatal(err)
	}
}

func unpin(t *testing.T, c *api.Client, name string) {
	t.Helper()
	if err := c.Scale(t.Context(), key(name), nil); err != nil {
		t.Fatal(err)
	}
}

// await waits for the condition itself.
func await(t *testing.T, c *api.Client, name, what string, ok func(api.Function) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), inTime)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		f, err := c.Get(ctx, key(name))
		if err == nil && ok(f) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not %s; last: %+v, %v", name, what, f, err)
		}
	}
}

// hold wants a condition to stay.
func hold(t *testing.T, when string, ok func() error) {
	t.Helper()
	end := time.NewTimer(afterJump)
	defer end.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := ok(); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		select {
		case <-tick.C:
		case <-end.C:
			return
		}
	}
}

// replicas are the IDs of all replicas, sorted.
func replicas(t *testing.T, c *api.Client) []string {
	t.Helper()
	list, err := c.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range list {
		for _, r := range f.Replicas {
			out = append(out, r.ID)
		}
	}
	slices.Sort(out)
	return out
}

// holders are the holders of living leases, sorted.
func holders(p *Platform) []string {
	var out []string
	for _, l := range p.ledger.Snapshot().Leases {
		if l.State != scale.Released {
			out = append(out, l.Holder)
		}
	}
	slices.Sort(out)
	return out
}

func unchanged(t *testing.T, c *api.Client, p *Platform, before, leases []string) error {
	t.Helper()
	if now := replicas(t, c); !slices.Equal(now, before) {
		return fmt.Errorf("replicas were %v and are %v", before, now)
	}
	if now := holders(p); !slices.Equal(now, leases) {
		return fmt.Errorf("leases were %v and are %v", leases, now)
	}
	list, err := c.List(t.Context(), "")
	if err != nil {
		return err
	}
	for _, f := range list {
		if f.Failure != nil || f.Silent > 0 || f.Draining > 0 || f.Phase == scale.PhaseFailing {
			return fmt.Errorf("%s is %s: %d silent, %d draining, failure %+v", f.Key, f.Phase, f.Silent, f.Draining, f.Failure)
		}
	}
	return nil
}

// checkAccounts wants no part of any account below zero or longer than the test.
func checkAccounts(t *testing.T, c *api.Client) {
	t.Helper()
	list, err := c.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		s := f.GPUSeconds
		for _, part := range []float64{s.Useful, s.Cold, s.Idle, s.Draining, s.Unknown} {
			if part < 0 || part > (5*time.Minute).Seconds() {
				t.Errorf("%s: GPU seconds %+v", f.Key, s)
			}
		}
	}
}
