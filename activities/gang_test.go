package activities_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/job/contract"
)

// gangWorld is what the start of a gang touches: it reserves what is asked for unless short, and each rank's start ends as
// fate says.
type gangWorld struct {
	activities.GangLedger
	activities.Checkpoints
	short error
	fate  func(id string) error

	mu    sync.Mutex
	tried int
}

// machines are its provider.
type machines struct {
	activities.Provider
	w *gangWorld
}

func (m machines) Start(_ context.Context, r activities.ReplicaSpec) error {
	m.w.mu.Lock()
	m.w.tried++
	m.w.mu.Unlock()
	return m.w.fate(r.ID)
}

func (w *gangWorld) ReserveGang(_ context.Context, asks []scale.Ask, _ time.Duration) ([]scale.Lease, error) {
	return make([]scale.Lease, len(asks)), w.short
}

func (*gangWorld) Bind(context.Context, string, uint64, time.Time) error { return nil }
func (*gangWorld) Dir(events.JobRecord) (string, error)                  { return "/ckpt", nil }
func (*gangWorld) List(string) ([]contract.Checkpoint, error)            { return nil, nil }
func (*gangWorld) Get(context.Context, string) (events.JobRecord, uint64, error) {
	return events.JobRecord{UID: "uid"}, 1, nil
}

// start starts a gang of so many ranks in it.
func (w *gangWorld) start(t *testing.T, nodes int) (activities.GangStarted, error) {
	t.Helper()
	g := activities.Gangs{
		Provider: machines{w: w}, Ledger: w, Checkpoints: w, Jobs: w, Access: access{}, Now: time.Now, Address: func(node string) string { return node },
	}
	ref := activities.GangRef{Key: functions.Key{Namespace: "ns", Name: "train"}, UID: "uid", Generation: 1, Nodes: nodes}
	return g.StartGang(t.Context(), activities.GangStart{PlaceRequest: activities.PlaceRequest{GangRef: ref}})
}

// What nothing can be started for now is told, with why, and the ranks that are still to come are not even tried.
func TestAGangThatCannotBeStartedNow(t *testing.T) {
	quota := fmt.Errorf("%w: exceeded quota: gpus", activities.ErrNotNow)
	half := &gangWorld{fate: func(id string) error {
		if strings.HasSuffix(id, "-0") || strings.HasSuffix(id, "-1") {
			return nil
		}
		return quota
	}}
	out, err := half.start(t, 512)
	if err != nil || !strings.Contains(out.NotNow, "exceeded quota: gpus") || len(out.Refused) > 0 || half.tried > 100 {
		t.Errorf("got %+v, %v after %d starts; want why it is not started", out, err, half.tried)
	}
	out, err = (&gangWorld{short: fmt.Errorf("rank 1: %w", scale.ErrTombstone)}).start(t, 2)
	if err != nil || out.NotNow == "" || out.Lost {
		t.Errorf("its reservation has expired: %+v, %v", out, err)
	}
}

// A rank that can never be started ends the job, whatever keeps the others from being started now; of an error that
// says neither nobody knows what became of the rank.
func TestAGangThatCanNeverBeStarted(t *testing.T) {
	asked := make(chan struct{}) // for the one that never can
	bad := &gangWorld{fate: func(id string) error {
		if strings.HasSuffix(id, "-0") {
			close(asked)
			return fmt.Errorf("%w: no such namespace", activities.ErrBadSpec)
		}
		<-asked
		return fmt.Errorf("%w: exceeded quota", activities.ErrNotNow)
	}}
	if out, err := bad.start(t, 2); err != nil || len(out.Refused) != 1 || out.Refused[0].Rank != 0 || out.NotNow != "" {
		t.Errorf("got %+v, %v; want rank 0 refused", out, err)
	}
	cut := errors.New("the connection was cut")
	if out, err := (&gangWorld{fate: func(string) error { return cut }}).start(t, 2); !errors.Is(err, cut) {
		t.Errorf("got %+v, %v; want the provider's error", out, err)
	}
}

// A rank's name is a DNS label, and no other rank's.
func TestRanksAreNamedApart(t *testing.T) {
	long := activities.GangRef{Key: functions.Key{Namespace: "ns", Name: strings.Repeat("n", 63)}, UID: "0123456789", Generation: 1_000_000, Nodes: 2}
	if id := long.RankID(functions.MaxNodes - 1); len(id) > 63 || !functions.ValidName(id) {
		t.Errorf("%q, %d bytes, is no DNS label", id, len(id))
	}
	next := long
	next.Generation++
	seen := map[string]bool{}
	for _, g := range []activities.GangRef{long, next} {
		for rank := range g.Nodes {
			seen[g.RankID(rank)] = true
		}
	}
	if len(seen) != 4 {
		t.Errorf("two generations of two ranks have %d names", len(seen))
	}
}
