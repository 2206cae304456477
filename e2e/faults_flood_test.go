package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// floodVar makes the flood as long as the issue wants: STOKER_E2E_FLOOD=60s.
const floodVar = "STOKER_E2E_FLOOD"

// The flood: ten times what the function can do, most of it batch.
const (
	shortFlood  = 20 * time.Second
	floodSlots  = 4
	floodWork   = 400 * time.Millisecond // of one request: it is that which bounds the function, not the machine
	floodRate   = 10 * 1000 * floodSlots / 400
	urgentShare = 25 // one request of so many is interactive: 40 % of the capacity
	floodTick   = 10 * time.Millisecond
	floodSLO    = time.Second // interactive, 95th percentile of the wait for a slot
	// floodPatience is for slow machines: what is left is served at the function's own pace.
	floodPatience = 5 * time.Minute
	// floodMemory is what the platform may take beside what it had before, in bytes: the broker keeps a
	// third of a kilobyte for each record, and its caches.
	floodMemory = 384 << 20
)

// TestFloodShedsBatchAndKeepsInteractive publishes ten times what a function can do. The interactive class waits no
// longer than its objective; batch is shed, and each request that was acknowledged has exactly one record.
func TestFloodShedsBatchAndKeepsInteractive(t *testing.T) {
	t.Parallel()
	long := shortFlood
	if text := os.Getenv(floodVar); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s=%q: want a duration such as 60s", floodVar, text)
		}
	}
	p := harness.Up(t, harness.Options{})
	f := p.Function("flooded", "-delay", floodWork.String())
	f.Spec.Scaling = functions.Scaling{Min: 1, Max: 1, Slots: floodSlots, WaitSLO: functions.WaitSLO{P95: functions.Duration(floodSLO)}}
	f.Spec.Queue.Depth = functions.Depth{Interactive: 500, Standard: 100, Batch: 300}
	f.Spec.Queue.Deadline = functions.Duration(10 * time.Minute)
	p.Apply(f)
	p.Await("flooded", "ready", func(f api.Function) bool { return f.Ready == 1 })

	before, watch := resident(t, p.PID()), watchMemory(t, p.PID())
	accepted := flood(t, p, long)
	harness.EventuallyWithin(t, floodPatience, "all ended", func() (bool, any) {
		f := p.Get("flooded")
		return settled(f), f.Pending
	})
	most := watch()
	ended := outcomes(t, p, "flooded", accepted)

	var waits []time.Duration
	total := map[functions.Class]int{}
	for _, o := range ended {
		total[o.class]++
		if o.class == functions.Interactive {
			waits = append(waits, o.wait)
		}
	}
	slices.Sort(waits)
	p95 := waits[len(waits)*95/100]
	counts := tally(ended)
	t.Logf("%v of %d/s on a capacity of %d/s: %d acknowledged, ended: %v; interactive waited p50 %v, p95 %v, max %v; memory %d MiB before, %d MiB at most",
		long, floodRate, floodRate/10, len(accepted), counts, waits[len(waits)/2], p95, waits[len(waits)-1], before/mib, most/mib)
	if p95 > floodSLO {
		t.Errorf("interactive requests waited %v at the 95th percentile, the objective is %v", p95, floodSLO)
	}
	if n := counts["interactive ok"]; n != total[functions.Interactive] {
		t.Errorf("%d of %d interactive requests were answered", n, total[functions.Interactive])
	}
	if counts["batch shed"] == 0 || counts["batch ok"] == 0 {
		t.Errorf("ended: %v; want some of batch answered and the rest shed", counts)
	}
	if most > before+floodMemory*harness.MemoryFactor {
		t.Errorf("the platform took %d MiB beside the %d MiB it had, want %d at most", (most-before)/mib, before/mib, floodMemory*harness.MemoryFactor/mib)
	}
}

// flood publishes at its pace, and returns the class of each acknowledged request by its id.
func flood(t *testing.T, p *harness.Platform, long time.Duration) map[string]functions.Class {
	t.Helper()
	js, err := jetstream.New(p.NATS(), jetstream.WithPublishAsyncMaxPending(int(long.Seconds()+1)*floodRate))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	tick := time.NewTicker(floodTick)
	defer tick.Stop()
	acks := map[jetstream.PubAckFuture]functions.Class{}
	begun := time.Now()
	for n := 0; ctx.Err() == nil; {
		for due := int(time.Since(begun).Seconds() * floodRate); n < due; n++ {
			class := functions.Batch
			if n%urgentShare == 0 {
				class = functions.Interactive
			}
			ack, err := js.PublishMsgAsync(&nats.Msg{Subject: events.RequestSubject(harness.Key("flooded"), class), Data: []byte(fmt.Sprint(n))})
			if err != nil {
				t.Fatal(err)
			}
			acks[ack] = class
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return acknowledged(t, js, acks)
}

func acknowledged(t *testing.T, js jetstream.JetStream, acks map[jetstream.PubAckFuture]functions.Class) map[string]functions.Class {
	t.Helper()
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(harness.Patience):
		t.Fatal("the broker does not acknowledge")
	}
	out, refused := map[string]functions.Class{}, map[string]int{}
	for ack, class := range acks {
		select {
		case a := <-ack.Ok():
			out[events.BareID(a.Stream, a.Sequence)] = class
		case err := <-ack.Err():
			refused[err.Error()]++
		}
	}
	if len(refused) > 0 {
		t.Logf("refused by the broker's own ceiling: %v", refused)
	}
	return out
}

// outcome is what a record says.
type outcome struct {
	class  functions.Class
	status string
	wait   time.Duration // from stored to taken
}

// outcomes reads every record of a function from the broker, and wants one for each accepted request and no other.
func outcomes(t *testing.T, p *harness.Platform, name string, accepted map[string]functions.Class) map[string]outcome {
	t.Helper()
	js := p.JetStream()
	c, err := js.OrderedConsumer(t.Context(), events.StreamResults, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{events.ResultFilter(harness.Key(name))}, HeadersOnly: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	it, err := c.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer it.Stop()
	out := map[string]outcome{}
	for left := c.CachedInfo().NumPending; left > 0; {
		m, err := it.Next(jetstream.NextMaxWait(harness.Patience))
		if err != nil {
			t.Fatalf("%d records left to read: %v", left, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		left = meta.NumPending
		rec, err := events.ParseReply(&nats.Msg{Header: m.Headers()})
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := out[rec.ID]; twice {
			t.Errorf("%s has two records", rec.ID)
		}
		out[rec.ID] = outcome{rec.Class, string(rec.Status), rec.Started.Sub(rec.Published)}
	}
	for id := range accepted {
		if _, ok := out[id]; !ok {
			t.Errorf("%s was acknowledged and has no record", id)
		}
	}
	if len(out) > len(accepted) {
		t.Errorf("%d records of %d acknowledged requests", len(out), len(accepted))
	}
	return out
}

func tally(ended map[string]outcome) map[string]int {
	out := map[string]int{}
	for _, o := range ended {
		out[string(o.class)+" "+o.status]++
	}
	return out
}

// watchMemory samples what a process has until the returned function is called, which returns the most it had.
func watchMemory(t *testing.T, pid int) (most func() int) {
	t.Helper()
	done := make(chan struct{})
	highest := 0
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			if n, err := residentOf(pid); err == nil {
				highest = max(highest, n)
			}
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	})
	stop := sync.OnceFunc(func() { close(done); wg.Wait() })
	t.Cleanup(stop)
	return func() int { stop(); return highest }
}
