package cost_test

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/cost"
)

var origin = time.Date(2026, 11, 1, 9, 59, 30, 0, time.UTC)

const lost = 10 * time.Second

// world is a pool whose history is made up, and its meter as its owner runs it: rows are sealed,
// the meter is stored, and now and then the owner is killed and begins with what was stored.
type world struct {
	t      *rapid.T
	now    time.Time
	ledger scale.Ledger
	meter  *cost.Meter
	stored []byte
	rows   map[time.Time]cost.Row // sealed, by their start
	hours  map[time.Time]cost.Row
	told   map[string]cost.Told
	asked  int
	// want is devices × time, counted beside the meter.
	want time.Duration
}

func newWorld(t *rapid.T, gpus int) *world {
	w := &world{t: t, now: origin, meter: &cost.Meter{}, rows: map[time.Time]cost.Row{}, hours: map[time.Time]cost.Row{}, told: map[string]cost.Told{}}
	devices := make([]scale.Device, gpus)
	for i := range devices {
		devices[i] = scale.Device{ID: fmt.Sprint("gpu-", i), Node: fmt.Sprint("node-", i%2), Product: []string{"NVIDIA L4", "NVIDIA H200"}[i%2], Memory: 1 << 34, Healthy: true}
	}
	w.ledger.SetInventory(nil, devices, w.now)
	w.meter.Advance(w.ledger, w.now)
	w.flush()
	return w
}

var owners = []string{"function ns-0/f", "function ns-1/f", "job ns-1/f"}

func (w *world) pass(d time.Duration) {
	w.want += d * time.Duration(len(w.ledger.Devices))
	w.now = w.now.Add(d)
}

func (w *world) flush() {
	w.meter.Advance(w.ledger, w.now)
	minutes, hours := w.meter.Seal(w.now)
	for _, r := range minutes {
		w.rows[r.Start] = r
	}
	for _, r := range hours {
		w.hours[r.Start] = r
	}
	data, err := json.Marshal(w.meter)
	if err != nil {
		w.t.Fatal(err)
	}
	w.stored = data
}

// halfFlush gets so far: nothing, the rows alone, everything.
func (w *world) halfFlush(steps int) {
	before := w.stored
	if steps > 0 {
		w.flush()
	}
	if steps == 1 {
		w.stored = before
	}
}

func (w *world) holders() []string {
	var out []string
	for _, x := range w.ledger.Leases {
		if x.State != scale.Released {
			out = append(out, x.Holder)
		}
	}
	return out
}

// change makes one thing happen at the pool.
func (w *world) change() {
	holders := w.holders()
	what := rapid.SampledFrom([]string{"reserve", "release", "lend", "lose", "find", "foreign", "sick"}).Draw(w.t, "what")
	switch {
	case what == "reserve":
		w.asked++
		owner := rapid.SampledFrom(owners).Draw(w.t, "owner")
		_, _ = w.ledger.Reserve(scale.Ask{Holder: fmt.Sprint("r", w.asked), Owner: owner, GPUs: rapid.IntRange(0, 2).Draw(w.t, "gpus")}, time.Hour, w.now)
	case what == "release" && len(holders) > 0:
		_ = w.ledger.Release(rapid.SampledFrom(holders).Draw(w.t, "holder"), "drained", w.now)
	case what == "lend":
		w.meter.Lend(map[string]int{owners[2]: rapid.IntRange(0, 3).Draw(w.t, "lent")}, w.now)
	case what == "lose":
		w.ledger.NodeLost("node-0", w.now)
	case what == "find":
		w.ledger.NodeFound("node-0", w.now)
	default:
		d := w.ledger.Devices[rapid.IntRange(0, len(w.ledger.Devices)-1).Draw(w.t, "device")]
		d.Healthy, d.Foreign = what != "sick", ""
		if what == "foreign" {
			d.Foreign = "pid 1"
		}
		var node []scale.Device
		for _, x := range w.ledger.Devices {
			if x.Node == d.Node && x.ID != d.ID {
				node = append(node, x)
			}
		}
		w.ledger.SetDevices(d.Node, append(node, d), w.now)
	}
	w.meter.Advance(w.ledger, w.now)
}

// word is what some agent says, however absurd.
func (w *world) word() {
	holders := w.holders()
	if len(holders) == 0 {
		return
	}
	id := rapid.SampledFrom(holders).Draw(w.t, "speaker")
	t, some := w.told[id], rapid.Float64Range(-1, 90)
	t.Useful += some.Draw(w.t, "useful")
	t.Cold += some.Draw(w.t, "cold")
	t.Idle += some.Draw(w.t, "idle")
	t.Draining += some.Draw(w.t, "draining")
	t.Served += rapid.Uint64Range(0, 5).Draw(w.t, "served")
	w.told[id] = t
	w.meter.Explain(id, t, rapid.Bool().Draw(w.t, "last"), w.now)
}

// kill loses what was not stored, and begins again after a while, in which agents go on.
func (w *world) kill() {
	w.pass(rapid.SampledFrom([]time.Duration{time.Second, 7 * time.Minute, 3 * time.Hour, 40 * time.Hour}).Draw(w.t, "away"))
	w.meter = &cost.Meter{}
	if err := json.Unmarshal(w.stored, w.meter); err != nil {
		w.t.Fatal(err)
	}
	if err := w.meter.Resume(w.ledger, lost, w.now); err != nil {
		w.t.Fatal(err)
	}
}

// all are the rows there are.
func (w *world) all() []cost.Row {
	return w.meter.History(values(w.rows), values(w.hours), time.Time{}, w.now)
}

func values(m map[time.Time]cost.Row) []cost.Row {
	var out []cost.Row
	for _, r := range m {
		out = append(out, r)
	}
	return out
}

// TestPartsAddUpToWhatWasProvisioned is the promise: whatever happens at the pool, whatever agents
// say, and whenever the platform is killed, the parts are devices × time to the nanosecond.
func TestPartsAddUpToWhatWasProvisioned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.IntRange(1, 5).Draw(t, "devices"))
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.pass(time.Duration(rapid.Int64Range(0, int64(40*time.Second)).Draw(t, "pass")))
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				w.halfFlush(rapid.IntRange(0, 2).Draw(t, "stored"))
				w.kill()
			case 1, 2:
				w.flush()
			case 3, 4, 5:
				w.word()
			default:
				w.change()
			}
			w.meter.Pass(w.now)
			w.check()
		}
		w.report()
	})
}

func (w *world) check() {
	var got time.Duration
	for _, r := range w.all() {
		got += r.Total()
		for _, e := range r.Entries {
			if e.Lent < 0 || e.Lent > e.Time.Total() || e.Lent > 0 && e.Function != owners[2] {
				w.t.Fatalf("%s: %s was lent %v of %v", r.Start, e.Function, e.Lent, e.Time.Total())
			}
			for c, d := range e.Time {
				if d < 0 {
					w.t.Fatalf("%s: %s spent %v on %s", r.Start, e.Function, d, c)
				}
			}
		}
	}
	if got != w.want {
		w.t.Fatalf("the parts add up to %v, provisioned were %v: off by %v", got, w.want, got-w.want)
	}
}

// report wants the same of every way to break it down.
func (w *world) report() {
	for _, by := range cost.Ways() {
		r := cost.Summarize(w.all(), cost.Options{By: by, Pool: "p", Price: func(string) (float64, bool) { return 2, true }})
		lines, usd, lent := 0.0, 0.0, 0.0
		for _, l := range r.Lines {
			lines, lent = lines+l.GPUSeconds, lent+l.Lent
			if l.USD != nil {
				usd += *l.USD
			}
		}
		if math.Abs(lines-r.Total.GPUSeconds) > 1e-3 || math.Abs(r.Total.GPUSeconds-w.want.Seconds()) > 1e-3 || math.Abs(usd-w.want.Hours()*2) > 1e-6 {
			w.t.Fatalf("by %s: lines %f s and %f USD, total %f s, provisioned %f s", by, lines, usd, r.Total.GPUSeconds, w.want.Seconds())
		}
		if by != cost.ByCause && math.Abs(lent-r.Total.Lent) > 1e-3 || r.Total.Lent > 0 && (r.Total.LentUSD == nil || math.Abs(*r.Total.LentUSD-r.Total.Lent/1800) > 1e-6) {
			w.t.Fatalf("by %s: lines of %f s on loan, total %f s for %v USD", by, lent, r.Total.Lent, r.Total.LentUSD)
		}
	}
}
