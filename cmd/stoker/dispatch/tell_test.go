package dispatch

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"testing"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// wire is a bus that goes with the machine.
type wire struct {
	Bus
	power *power
	said  *[]string
}

func (w wire) Emit(_ context.Context, _ functions.Key, _, what string, _ any) error {
	w.power.mu.Lock()
	defer w.power.mu.Unlock()
	done, err := w.power.use()
	if done {
		*w.said = append(*w.said, what)
	}
	return err
}

// A machine that goes at any moment of telling of a step leaves nobody without the news, since the workflow tells it again.
func TestAStepIsAnnouncedOverAKill(t *testing.T) {
	k := functions.Key{Namespace: "ns", Name: "train"}
	for _, half := range []bool{false, true} {
		for writes := 1; ; writes++ {
			p := &power{left: 1 << 20}
			records := &drawer[events.JobRecord]{power: p, there: map[string]events.Entry[events.JobRecord]{}}
			state := &drawer[Stored]{power: p, there: map[string]events.Entry[Stored]{}}
			learned := &drawer[json.RawMessage]{power: p, there: map[string]events.Entry[json.RawMessage]{}}
			rec := events.JobRecord{UID: "uid"}
			rec.Job.Metadata = functions.Metadata{Namespace: k.Namespace, Name: k.Name}
			if _, err := records.Put(t.Context(), events.StateKey(k), rec, 0); err != nil {
				t.Fatal(err)
			}
			var said []string
			tell := func(phases ...job.Phase) error {
				d := New(Options{
					Records: records, State: state, Learned: learned, Bus: wire{power: p, said: &said}, Ledger: still{}, Spending: prices{},
					Checkpoints: &Checkpoints{Root: t.TempDir()}, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return origin },
				})
				d.soon, d.planner.saving = true, true // nothing is planned here
				inner, end := d.box.Begin(t.Context())
				defer end()
				if err := d.restore(inner); err != nil {
					t.Fatal(err)
				}
				d.jobs[k].telling = true // its workflow is the test
				go func() {
					for {
						select {
						case f := <-d.box.In():
							f()
						case <-inner.Done():
							return
						}
					}
				}()
				for i, phase := range phases {
					if err := d.JobChanged(t.Context(), activities.JobNews{Key: k, UID: "uid", Seq: uint64(i + 1), State: job.State{Phase: phase, Generation: 1}}); err != nil {
						return err
					}
				}
				return nil
			}
			p.left, p.half = writes, half
			err := tell(job.Validated, job.Queued, job.Cancelled)
			p.left = 1 << 20
			if err := tell(job.Validated, job.Queued, job.Cancelled); err != nil {
				t.Fatal(err)
			}
			for _, phase := range []job.Phase{job.Validated, job.Queued, job.Cancelled} {
				if !slices.Contains(said, string(phase)) {
					t.Errorf("killed at write %d (done: %v), nobody hears that it is %s: %v", writes, half, phase, said)
				}
			}
			if err == nil {
				break
			}
		}
	}
}
