package cost_test

import (
	"encoding/json"
	"testing"
	"time"

	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/cost"
)

// loans is a pool of four GPUs, two of them of one job's ranks.
func loans(t *testing.T) (*scale.Ledger, *cost.Meter) {
	t.Helper()
	var l scale.Ledger
	var devices []scale.Device
	for _, id := range []string{"a", "b", "c", "d"} {
		devices = append(devices, scale.Device{ID: id, Node: "n", Product: "NVIDIA L4", Healthy: true})
	}
	l.SetInventory(nil, devices, origin)
	for holder, owner := range map[string]string{"rank-0": "job team/train", "rank-1": "job team/train", "r": "function team/f"} {
		if _, err := l.Reserve(scale.Ask{Holder: holder, Owner: owner, GPUs: 1}, time.Hour, origin); err != nil {
			t.Fatal(err)
		}
	}
	return &l, &cost.Meter{}
}

func byFunction(m *cost.Meter) map[string]cost.Line {
	out := map[string]cost.Line{}
	for _, l := range cost.Summarize(m.Unsealed(), cost.Options{By: cost.ByFunction, Price: func(string) (float64, bool) { return 3.6, true }}).Lines {
		out[l.Name] = l
	}
	return out
}

// What is on loan is counted from when it is lent until it is redeemed, also while the platform is down.
func TestTimeOnLoanIsCountedBesideTheCauses(t *testing.T) {
	l, m := loans(t)
	m.Lend(map[string]int{"job team/train": 2}, origin) // before its leases are known
	m.Advance(*l, origin)
	now := origin.Add(30 * time.Second)
	m.Lend(map[string]int{"job team/train": 1}, now)
	m.Lend(map[string]int{"job team/train": 1}, now)
	m.Pass(now) // as before it is stored
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	m = &cost.Meter{}
	if err := json.Unmarshal(data, m); err != nil {
		t.Fatal(err)
	}
	now = now.Add(20 * time.Second)
	if err := m.Resume(*l, lost, now); err != nil {
		t.Fatal(err)
	}
	m.Lend(nil, now)
	now = now.Add(40 * time.Second)
	m.Pass(now)
	got := byFunction(m)
	if j := got["job team/train"]; j.GPUSeconds != 180 || j.Lent != 2*30+20 || j.LentUSD == nil || *j.LentUSD < 0.0799 || *j.LentUSD > 0.0801 {
		t.Errorf("90 s on two GPUs, both lent for 30 s and one for 20 s more: %+v", j)
	}
	if f := got["team/f"]; f.GPUSeconds != 90 || f.Lent != 0 || f.LentUSD != nil {
		t.Errorf("the function borrows nothing: %+v", f)
	}
}

// What requests cost is not raised by a job of the same namespace.
func TestTrainingIsNotInThePriceOfRequests(t *testing.T) {
	l, m := loans(t)
	m.Advance(*l, origin)
	now := origin.Add(100 * time.Second)
	m.Explain("r", cost.Told{Useful: 100, Served: 50}, false, now)
	m.Pass(now)
	for _, line := range cost.Summarize(m.Unsealed(), cost.Options{By: cost.ByNamespace, Price: func(string) (float64, bool) { return 36, true }}).Lines {
		if line.Name != "team" {
			continue
		}
		if p := line.PerThousandRequests; p == nil || *p < 19.99 || *p > 20.01 {
			t.Errorf("50 requests in 100 s of one GPU at 1 US cent a second: %v USD for 1,000", p)
		}
	}
}

// A job belongs to its namespace as a function does, and is seen by whoever may look there.
func TestAJobIsOfItsNamespace(t *testing.T) {
	l, m := loans(t)
	m.Advance(*l, origin)
	m.Pass(origin.Add(time.Second))
	names := func(by cost.By, see string) (out []string) {
		for _, l := range cost.Summarize(m.Unsealed(), cost.Options{By: by, See: func(ns string) bool { return ns == see }, Price: func(string) (float64, bool) { return 0, false }}).Lines {
			out = append(out, l.Name)
		}
		return out
	}
	if got := names(cost.ByNamespace, "team"); len(got) != 2 || got[0] != "team" {
		t.Errorf("by namespace: %v", got)
	}
	if got := names(cost.ByFunction, "team"); len(got) != 3 || got[0] != "job team/train" {
		t.Errorf("by function: %v", got)
	}
	if got := names(cost.ByFunction, "other"); len(got) != 2 || got[0] != cost.NameOthers {
		t.Errorf("to whom may not look there: %v", got)
	}
}
