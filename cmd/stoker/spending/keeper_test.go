package spending_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker/spending"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/events/eventstest"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/cost"
	"stoker.dev/stoker/scale/price"
)

var start = time.Date(2026, 11, 27, 9, 59, 0, 0, time.UTC)

// books is a keeper over a real broker, with a clock and a ledger of the test's.
type books struct {
	*spending.Keeper
	t      *testing.T
	o      spending.Options
	now    time.Time
	ledger scale.Ledger
	broken *breakable
}

// breakable is a store of minutes that fails when it is told to.
type breakable struct {
	spending.Store[cost.Row]
	fails bool
}

var errAway = errors.New("the broker is away")

func (b *breakable) Put(ctx context.Context, key string, v cost.Row, rev uint64) (uint64, error) {
	if b.fails {
		return 0, errAway
	}
	return b.Store.Put(ctx, key, v, rev)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newBooks(t *testing.T, prices string) *books {
	t.Helper()
	nc, _, _ := eventstest.Start(t)
	bus, err := events.NewBus(nc, nil)
	must(t, err)
	must(t, bus.Ensure(t.Context(), events.StreamOptions{}))
	meter, err := events.OpenStore[json.RawMessage](t.Context(), bus, events.BucketCost)
	must(t, err)
	hours, err := events.OpenStore[cost.Row](t.Context(), bus, events.BucketCost)
	must(t, err)
	minutes, err := events.OpenStore[cost.Row](t.Context(), bus, events.BucketMinutes)
	must(t, err)
	catalogue, err := price.Parse("prices", []byte(prices))
	must(t, err)
	b := &books{t: t, now: start, broken: &breakable{Store: minutes}}
	b.ledger.SetInventory(nil, []scale.Device{
		{ID: "a", Node: "n", Product: "NVIDIA L4", Healthy: true}, {ID: "b", Node: "n", Product: "NVIDIA L4", Healthy: true},
	}, b.now)
	b.o = spending.Options{
		Pool: "default", Meter: meter, Hours: hours, Minutes: b.broken, Prices: catalogue, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return b.now },
	}
	b.open()
	return b
}

// open begins with what is stored, as after a kill.
func (b *books) open() {
	b.t.Helper()
	k, err := spending.Open(b.t.Context(), b.o, b.ledger)
	must(b.t, err)
	b.Keeper = k
}

func (b *books) lease(holder, owner string) {
	b.t.Helper()
	_, err := b.ledger.Reserve(scale.Ask{Holder: holder, Owner: "function " + owner, GPUs: 1}, 100*time.Hour, b.now)
	must(b.t, err)
	b.Advance(b.ledger, b.now)
}

// pass lets time go by in steps, with what the platform does at each.
func (b *books) pass(d time.Duration, each func()) {
	for end := b.now.Add(d); b.now.Before(end); {
		b.now = b.now.Add(spending.FlushEvery)
		if each != nil {
			each()
		}
		b.Flush(b.t.Context(), b.ledger)
	}
}

func (b *books) total(since time.Duration) (all, usd float64, lines map[string]cost.Line) {
	b.t.Helper()
	r, err := b.Report(b.t.Context(), b.now.Add(-since), cost.ByFunction, nil)
	must(b.t, err)
	lines = map[string]cost.Line{}
	for _, l := range r.Lines {
		lines[l.Name] = l
	}
	if r.Total.USD != nil {
		usd = *r.Total.USD
	}
	return r.Total.GPUSeconds, usd, lines
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-3 }

const priced = `
prices: [{provider: p, region: r, product: NVIDIA L4, onDemand: 3.6, date: 2026-11-01, source: "https://p"}]
pools: {default: {provider: p, region: r}}
`

// TestBooksAreKept lets two hours go by with a replica at work, kills the platform in between, and
// wants two GPUs times the time, whatever is asked.
func TestBooksAreKept(t *testing.T) {
	b := newBooks(t, priced)
	var told events.Totals
	work := func() {
		told.UsefulSec += 6
		told.IdleSec += 4
		told.Served, told.TokensOut = told.Served+1, told.TokensOut+100
		b.Tell(events.Heartbeat{Replica: "r", Phase: events.PhaseReady, Totals: told})
	}
	b.lease("r", "team/f")
	b.pass(30*time.Minute, work)
	b.open() // killed right after a flush
	b.Tell(events.Heartbeat{Replica: "r", Phase: events.PhaseReady, Totals: told})
	b.pass(30*time.Minute, work)
	b.now = b.now.Add(7 * time.Second) // killed, and 7 s of work are in no flush; down for a minute
	b.now = b.now.Add(time.Minute)
	told.UsefulSec += 67
	b.open()
	b.Tell(events.Heartbeat{Replica: "r", Phase: events.PhaseReady, Totals: told})
	b.pass(time.Hour, work)
	elapsed := b.now.Sub(start).Seconds()
	all, usd, lines := b.total(24 * time.Hour)
	if f := lines["team/f"]; !near(all, 2*elapsed) || !near(usd, 2*elapsed/1000) || !near(f.Causes[cost.Useful], 6*720+67) || !near(f.Causes[cost.Idle], 4*720) || f.Served != 720 || f.TokensOut != 72000 {
		t.Errorf("after %v s: %v GPU-seconds for %v USD, the function %+v", elapsed, all, usd, f)
	}
	if p := lines[cost.NamePool]; !near(p.Causes[cost.Down], 67) || !near(p.Causes[cost.Free], elapsed-67) {
		t.Errorf("the pool: %+v", p)
	}
	if all, _, _ := b.total(10 * time.Minute); !near(all, 2*(600+float64(b.now.Second()))) {
		t.Errorf("ten minutes, rounded down to one: %v GPU-seconds", all)
	}
	b.now = b.now.Add(26 * time.Hour) // nothing ran meanwhile; the minutes are too old to be told
	b.open()
	b.Flush(t.Context(), b.ledger)
	if all, _, _ := b.total(72 * time.Hour); !near(all, 2*b.now.Sub(start).Seconds()) {
		t.Errorf("a day later: %v GPU-seconds, want %v", all, 2*b.now.Sub(start).Seconds())
	}
}

func TestBrokerThatIsAwayLosesNothing(t *testing.T) {
	b := newBooks(t, priced)
	b.broken.fails = true
	b.pass(20*time.Minute, nil)
	if all, _, _ := b.total(time.Hour); !near(all, 2*1200) {
		t.Errorf("while the broker is away: %v GPU-seconds, want 2400", all)
	}
	b.broken.fails = false
	b.pass(20*time.Minute, nil)
	b.open()
	if all, _, _ := b.total(time.Hour); !near(all, 2*2400) {
		t.Errorf("after it came back: %v GPU-seconds, want 4800", all)
	}
}

func fn(budget functions.Budget) functions.Spec {
	s := functions.Spec{Resources: functions.Resources{GPUs: 1}}
	s.Scaling.Budget = budget
	return s
}

// TestAllowance: a GPU costs 3.60 USD an hour, so the five minutes that a replica must have cost 0.30.
func TestAllowance(t *testing.T) {
	b := newBooks(t, priced+"namespaces: {team: {budget: {perDay: 3, action: cap}}}")
	own, shared, free := functions.Key{Namespace: "solo", Name: "f"}, functions.Key{Namespace: "team", Name: "f"}, functions.Key{Namespace: "solo", Name: "g"}
	capped := fn(functions.Budget{PerHour: "1.50", Action: functions.BudgetCap})
	replicas := func(k functions.Key, s functions.Spec) string {
		a := b.Allowance(k, s)
		if a.Replicas == nil {
			return "-"
		}
		return fmt.Sprint(*a.Replicas)
	}
	want := func(when string, want ...string) {
		t.Helper()
		got := []string{replicas(own, capped), replicas(shared, fn(functions.Budget{})), replicas(free, fn(functions.Budget{}))}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v replicas, want %v", when, got, want)
		}
	}
	want("at first", "5", "10", "-")
	b.now = b.now.Add(time.Minute) // 10:00, a new hour
	b.lease("r", "solo/f")
	b.lease("s", "team/g")
	b.now = b.now.Add(10 * time.Minute) // each has spent 0.60
	want("after ten minutes", "3", "7", "-")
	if a := b.Allowance(own, capped); a.Warn || a.Share < 0.399 || a.Share > 0.401 {
		t.Errorf("%+v", a)
	}
	b.now = b.now.Add(11 * time.Minute) // 1.26
	if a := b.Allowance(own, capped); !a.Warn || *a.Replicas != 0 {
		t.Errorf("84 %% are spent, and %+v", a)
	}
	b.now = b.now.Add(40 * time.Minute) // 11:01: a new hour, the same day: 3.66 of 3
	want("in the next hour", "4", "0", "-")
	b.Flush(t.Context(), b.ledger)
	b.open()
	want("after a restart", "4", "0", "-")
	if a := b.Allowance(own, fn(functions.Budget{PerDay: "2", Action: functions.BudgetWarn})); a.Replicas != nil || !a.Warn || a.Text == "" {
		t.Errorf("a budget that only warns: %+v", a)
	}
}

func TestBudgetWithoutPrice(t *testing.T) {
	b := newBooks(t, "")
	a := b.Allowance(functions.Key{Namespace: "solo", Name: "f"}, fn(functions.Budget{PerDay: "1", Action: functions.BudgetCap}))
	if a.Replicas != nil || !a.Warn || a.Text == "" {
		t.Errorf("a budget without a price is not said to be unwatched: %+v", a)
	}
	if _, usd, lines := b.total(time.Hour); usd != 0 || lines[cost.NamePool].USD != nil {
		t.Errorf("what has no price costs %v: %+v", usd, lines)
	}
}
