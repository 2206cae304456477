package cost_test

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/cost"
)

// pool is two GPUs of one product, and one lease on one of them.
func pool(t *testing.T, now time.Time, holders ...string) scale.Ledger {
	t.Helper()
	var l scale.Ledger
	l.SetInventory(nil, []scale.Device{
		{ID: "a", Node: "n", Product: "NVIDIA L4", Healthy: true}, {ID: "b", Node: "n", Product: "NVIDIA L4", Healthy: true},
	}, now)
	for _, h := range holders {
		if _, err := l.Reserve(scale.Ask{Holder: h, Owner: "function team/f", GPUs: 1}, time.Hour, now); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// unsealed are the rows with everything booked up to the meter's own time.
func unsealed(m *cost.Meter) []cost.Row {
	m.Pass(m.At)
	return m.Unsealed()
}

func summary(rows []cost.Row, by cost.By) map[string]map[cost.Cause]float64 {
	out := map[string]map[cost.Cause]float64{}
	for _, l := range cost.Summarize(rows, cost.Options{By: by, Price: func(string) (float64, bool) { return 0, false }}).Lines {
		out[l.Name] = map[cost.Cause]float64{}
		for c, s := range l.Causes {
			out[l.Name][c] = math.Round(s*1000) / 1000
		}
	}
	return out
}

func same(t *testing.T, got, want map[string]map[cost.Cause]float64) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestLifeOfOneReplica follows a replica from its reservation to its release.
func TestLifeOfOneReplica(t *testing.T) {
	at := func(s float64) time.Time { return origin.Add(time.Duration(s * float64(time.Second))) }
	var m cost.Meter
	m.Advance(pool(t, at(0)), at(0))
	held := pool(t, at(10), "r")
	m.Advance(held, at(10))
	m.Explain("r", cost.Told{Cold: 3}, false, at(14)) // one second from the reservation to the agent's start
	m.Explain("r", cost.Told{Cold: 5, Useful: 10, Idle: 5, Served: 7, TokensOut: 70}, false, at(31))
	m.Explain("r", cost.Told{Cold: 5, Useful: 10, Idle: 8, Draining: 2, Served: 7, TokensOut: 70}, true, at(36))
	m.Advance(pool(t, at(37)), at(37)) // released a second after the last word
	m.Advance(pool(t, at(40)), at(40))
	same(t, summary(unsealed(&m), cost.ByFunction), map[string]map[cost.Cause]float64{
		cost.NamePool: {cost.Free: 53},
		"team/f":      {cost.Cold: 6, cost.Useful: 10, cost.Idle: 8, cost.Draining: 3},
	})
	r := cost.Summarize(unsealed(&m), cost.Options{By: cost.ByNamespace, Price: func(string) (float64, bool) { return 3600, true }})
	if l := r.Lines[1]; l.Name != "team" || *l.USD != 27 || *l.PerThousandRequests != 27.0/7*1000 || *l.PerMillionTokens != 27.0/70*1e6 {
		t.Errorf("a USD a second, and the line is %+v", l)
	}
	if r.Total.GPUSeconds != 80 || *r.Total.USD != 80 {
		t.Errorf("two GPUs for 40 s, and the total is %+v", r.Total)
	}
}

func TestKillLosesAtMostTheLastInterval(t *testing.T) {
	at := func(s float64) time.Time { return origin.Add(time.Duration(s * float64(time.Second))) }
	start := func() *cost.Meter {
		m := &cost.Meter{}
		m.Advance(pool(t, at(0), "r"), at(0))
		m.Explain("r", cost.Told{Useful: 5}, false, at(5))
		m.Seal(at(5))
		data, err := json.Marshal(m)
		again := &cost.Meter{}
		if err != nil || json.Unmarshal(data, again) != nil {
			t.Fatal(err)
		}
		return again
	}
	for _, c := range []struct {
		name string
		then scale.Ledger
		told *cost.Told
		want map[string]map[cost.Cause]float64
	}{
		{"the replica goes on, and explains everything", pool(t, at(0), "r"), &cost.Told{Useful: 65}, map[string]map[cost.Cause]float64{
			"team/f": {cost.Useful: 65}, cost.NamePool: {cost.Free: 5, cost.Down: 60},
		}},
		{"the replica was released meanwhile", func() scale.Ledger {
			l := pool(t, at(0), "r")
			l.Epoch++ // another one came and went
			_ = l.Release("r", "drained", at(6))
			return l
		}(), nil, map[string]map[cost.Cause]float64{
			"team/f": {cost.Useful: 5, cost.Unknown: 10}, cost.NamePool: {cost.Free: 5, cost.Unknown: 10, cost.Down: 100},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := start()
			if err := m.Resume(c.then, lost, at(65)); err != nil {
				t.Fatal(err)
			}
			if c.told != nil {
				m.Explain("r", *c.told, false, at(65))
			}
			same(t, summary(unsealed(m), cost.ByFunction), c.want)
		})
	}
	if m := (&cost.Meter{Version: cost.Version + 1}); m.Resume(scale.Ledger{}, lost, origin) == nil {
		t.Error("a meter of a newer version is read")
	}
}

func TestWhatAnAskerMayNotSeeIsSummed(t *testing.T) {
	rows := []cost.Row{{Start: origin, Length: time.Minute, Entries: []cost.Entry{
		{Account: cost.Account{Product: "x"}, Time: cost.Parts{cost.Free: time.Second}},
		{Account: cost.Account{Function: "a/f", Product: "x"}, Time: cost.Parts{cost.Useful: time.Second}},
		{Account: cost.Account{Function: "b/g", Product: "x"}, Time: cost.Parts{cost.Useful: 2 * time.Second}, Served: 3},
		{Account: cost.Account{Function: "b/h", Product: "y"}, Time: cost.Parts{cost.Idle: 4 * time.Second}},
	}}}
	r := cost.Summarize(rows, cost.Options{By: cost.ByFunction, See: func(ns string) bool { return ns == "a" }, Price: func(p string) (float64, bool) { return 1, p == "x" }})
	if len(r.Lines) != 3 || r.Lines[0].Name != cost.NameOthers || r.Lines[0].GPUSeconds != 6 || r.Lines[0].Unpriced != 4 || r.Lines[0].PerThousandRequests != nil {
		t.Errorf("got %+v", r.Lines)
	}
	if r.Total.GPUSeconds != 8 || r.Total.Unpriced != 4 {
		t.Errorf("total %+v", r.Total)
	}
}

func TestBudget(t *testing.T) {
	b := cost.Budget{Hour: 10, Day: 100}
	if got := b.Left(cost.Spent{Hour: 2, Day: 97}); got != 3 {
		t.Errorf("left %v, want 3: the day binds", got)
	}
	if got := b.Left(cost.Spent{Hour: 12}); got != 0 {
		t.Errorf("left %v of an hour that is overdrawn, want 0", got)
	}
	if share, window := b.Strain(cost.Spent{Hour: 5, Day: 90}); share != 0.9 || window != "day" || !b.Near(cost.Spent{Day: 90}) || b.Near(cost.Spent{Hour: 7}) {
		t.Errorf("strain %v of the %s", share, window)
	}
	for _, c := range []struct {
		left, price float64
		gpus, want  int
	}{{1, 12, 1, 1}, {0.99, 12, 1, 0}, {6, 12, 2, 3}, {1, 0, 1, -1}, {math.Inf(1), 12, 1, -1}, {1, 12, 0, -1}} {
		if got := cost.Replicas(c.left, c.price, c.gpus); got != c.want {
			t.Errorf("%v USD left at %v an hour for %d GPUs: %d replicas, want %d", c.left, c.price, c.gpus, got, c.want)
		}
	}
}

// TestSpent sums by windows, and anew from rows.
func TestSpent(t *testing.T) {
	at := func(s float64) time.Time { return origin.Add(time.Duration(s * float64(time.Second))) } // 10:00 is at 30 s
	var m cost.Meter
	m.Advance(pool(t, at(0), "r"), at(0))
	m.Advance(pool(t, at(0), "r"), at(60))
	perSecond := func(string) (float64, bool) { return 3600, true }
	mine := func(f string) bool { return f == "team/f" }
	m.Pass(at(60))
	want := cost.Spent{Hour: 30, Day: 60, Month: 60}
	if got := m.Spent(mine, perSecond); got != want {
		t.Errorf("spent %+v, want %+v", got, want)
	}
	m.Recall(unsealed(&m), at(60))
	if got := m.Spent(mine, perSecond); got != want {
		t.Errorf("recalled %+v, want %+v", got, want)
	}
	if got := m.Spent(func(string) bool { return false }, perSecond); got != (cost.Spent{}) {
		t.Errorf("others spent %+v", got)
	}
}
