package scale

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// rack makes a ledger of nodes with the given products, one device per word.
func rack(nodes ...string) Ledger {
	var l Ledger
	for i, products := range nodes {
		var devices []Device
		for j, p := range strings.Fields(products) {
			memory := map[string]uint64{"L4": 24 << 30, "A100": 40 << 30, "H100": 80 << 30}[p]
			devices = append(devices, Device{ID: fmt.Sprintf("gpu-%d", j), Product: "NVIDIA " + p, Memory: memory, Healthy: true})
		}
		l.SetDevices(fmt.Sprintf("n%d", i), devices, origin)
	}
	return l
}

func mustReserve(t *testing.T, l *Ledger, ask Ask) Lease {
	t.Helper()
	lease, err := l.Reserve(ask, time.Minute, origin)
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

func TestPlacement(t *testing.T) {
	for _, c := range []struct {
		name  string
		nodes []string
		ask   Ask
		want  string // node and devices; empty: no capacity
	}{
		{"best fit keeps the emptier node whole", []string{"H100 H100 H100", "H100 H100"}, Ask{GPUs: 2}, "n1 [gpu-0 gpu-1]"},
		{"all GPUs on one node", []string{"H100", "H100"}, Ask{GPUs: 2}, ""},
		{"all GPUs of one product", []string{"H100 L4"}, Ask{GPUs: 2}, ""},
		{"the order of preference", []string{"L4", "H100"}, Ask{GPUs: 1, Products: []string{"h100", "l4"}}, "n1 [gpu-0]"},
		{"the second choice where the first does not fit", []string{"L4 L4", "H100"}, Ask{GPUs: 2, Products: []string{"H100", "L4"}}, "n0 [gpu-0 gpu-1]"},
		{"the smallest memory that is enough", []string{"H100 A100 L4"}, Ask{GPUs: 1, Memory: 30 << 30}, "n0 [gpu-1]"},
		{"no product of that name", []string{"A100"}, Ask{GPUs: 1, Products: []string{"A10"}}, ""},
		{"no GPU asked for", []string{""}, Ask{}, " []"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := rack(c.nodes...)
			c.ask.Holder = "r1"
			lease, err := l.Reserve(c.ask, time.Minute, origin)
			if c.want == "" {
				wantErr(t, err, ErrNoCapacity)
				return
			}
			if got := fmt.Sprint(lease.Node, " ", lease.Devices); err != nil || got != c.want {
				t.Fatalf("placed on %q (%v), want %q", got, err, c.want)
			}
		})
	}
}

func TestProductNames(t *testing.T) {
	for want, product := range map[string]string{
		"H100":                   "NVIDIA H100 80GB HBM3",
		"h100 80gb":              "NVIDIA-H100-80GB-HBM3",
		"NVIDIA H100 80GB HBM3":  "NVIDIA H100 80GB HBM3",
		"nvidia_h100_80gb":       "NVIDIA H100 80GB HBM3",
		"simulated":              "Simulated",
		"NVIDIA-A100-SXM4-40GB ": "NVIDIA A100-SXM4-40GB",
	} {
		if !productMatches(want, product) {
			t.Errorf("%q does not match %q", want, product)
		}
	}
	for want, product := range map[string]string{"A10": "NVIDIA A100", "": "NVIDIA A100", "H100 40GB": "NVIDIA H100 80GB"} {
		if productMatches(want, product) {
			t.Errorf("%q matches %q", want, product)
		}
	}
}

// Reserving and releasing leaves what was free as it was, whatever else is held.
func TestReserveReleaseIsIdentityOnFree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := rack("H100 H100 L4", "L4 L4", "A100 A100 A100 A100")
		for i := range rapid.IntRange(0, 5).Draw(t, "others") {
			_, _ = l.Reserve(Ask{Holder: fmt.Sprint("other", i), GPUs: rapid.IntRange(0, 3).Draw(t, "gpus")}, time.Minute, origin)
		}
		before, free := l.Usage(), l.Free([]string{"L4"}, 0)
		if _, err := l.Reserve(Ask{Holder: "r", GPUs: rapid.IntRange(0, 4).Draw(t, "gpus")}, time.Minute, origin); err != nil {
			return // nothing to take back
		}
		if err := l.Release("r", "drained", origin); err != nil {
			t.Fatal(err)
		}
		if l.Usage() != before || l.Free([]string{"L4"}, 0) != free {
			t.Fatalf("usage %+v became %+v", before, l.Usage())
		}
	})
}

func TestExpiredReservationRefusesLateStart(t *testing.T) {
	l := rack("H100")
	lease := mustReserve(t, &l, Ask{Holder: "r1", GPUs: 1})
	if ended := l.Expire(lease.Expires.Add(-1)); len(ended) != 0 {
		t.Fatalf("expired early: %v", ended)
	}
	if ended := l.Expire(lease.Expires); len(ended) != 1 || ended[0].Holder != "r1" {
		t.Fatalf("expired %v, want r1", ended)
	}
	wantErr(t, l.Bind("r1", lease.Epoch, lease.Expires), ErrTombstone)
	_, err := l.Reserve(Ask{Holder: "r1", GPUs: 1}, time.Minute, lease.Expires)
	wantErr(t, err, ErrTombstone)
	if l.Usage().Free != 1 {
		t.Fatalf("the GPU is not free again: %+v", l.Usage())
	}
	l.Expire(lease.Expires.Add(TombstoneTTL))
	wantErr(t, l.Bind("r1", lease.Epoch, lease.Expires), ErrUnknownHolder)
}

func TestReleaseBeforeReserveRefusesTheStart(t *testing.T) {
	l := rack("H100")
	if err := l.Release("r1", "cancelled", origin); err != nil {
		t.Fatal(err)
	}
	_, err := l.Reserve(Ask{Holder: "r1", GPUs: 1}, time.Minute, origin)
	wantErr(t, err, ErrTombstone)
}

func TestTombstonesAreBounded(t *testing.T) {
	var l Ledger
	for i := range MaxTombstones + 50 {
		at := origin.Add(time.Duration(i) * time.Millisecond)
		if err := l.Release(fmt.Sprintf("r%05d", i), "crashed", at); err != nil {
			t.Fatal(err)
		}
	}
	l.Expire(origin.Add(time.Minute))
	if len(l.Leases) != MaxTombstones || l.Leases[0].Holder != "r00050" {
		t.Fatalf("%d tombstones are left, the first %s; want the newest %d", len(l.Leases), l.Leases[0].Holder, MaxTombstones)
	}
}

// A node that is out of reach keeps its leases: unknown, not usable, not released.
func TestLostNode(t *testing.T) {
	l := rack("H100 H100", "H100")
	lease := mustReserve(t, &l, Ask{Holder: "r1", Owner: "function default/x", GPUs: 1})
	if lease.Node != "n1" {
		t.Fatalf("placed on %s", lease.Node)
	}
	if err := l.Bind("r1", lease.Epoch, origin); err != nil {
		t.Fatal(err)
	}
	l.SetInventory([]string{"n0"}, rack("H100 H100").Devices, origin)
	if u := l.Usage(); u.Unknown != 1 || u.Free != 2 || u.Capacity != 3 {
		t.Fatalf("usage %+v with a node lost", u)
	}
	l.SetInventory([]string{"n0", "n1"}, rack("H100 H100", "H100").Devices, origin)
	if got, _ := l.Lease("r1"); got.State != Bound {
		t.Fatalf("r1 is %s after its node came back", got.State)
	}
	l.NodeLost("n1", origin)
	if ended := l.Fence("n0", origin); len(ended) != 0 {
		t.Fatalf("fencing a node in reach ended %v", ended)
	}
	if ended := l.Fence("n1", origin); len(ended) != 1 || l.Usage().Unknown != 0 {
		t.Fatalf("fencing ended %v", ended)
	}
	l.SetInventory([]string{"n0"}, rack("H100 H100").Devices, origin)
	if len(l.Lost) != 0 || len(l.Devices) != 2 {
		t.Fatalf("a lost node without leases is remembered: %v, %d devices", l.Lost, len(l.Devices))
	}
}

// A reservation does not run out while nobody can tell whether its start happened.
func TestReservationOnLostNodeDoesNotExpire(t *testing.T) {
	l := rack("H100")
	lease := mustReserve(t, &l, Ask{Holder: "r1", GPUs: 1})
	l.NodeLost("n0", origin)
	late := origin.Add(time.Hour)
	if ended := l.Expire(late); len(ended) != 0 {
		t.Fatalf("expired %v on a lost node", ended)
	}
	if err := l.Bind("r1", lease.Epoch, late); err != nil {
		t.Fatal(err)
	}
	l.NodeFound("n0", late)
	if got, _ := l.Lease("r1"); got.State != Bound {
		t.Fatalf("r1 is %s", got.State)
	}
}

func TestVanishedDeviceStaysUntilReleased(t *testing.T) {
	l := rack("H100 H100")
	mustReserve(t, &l, Ask{Holder: "r1", GPUs: 2})
	l.SetDevices("n0", rack("H100").Devices, origin)
	if err := l.Check(); err != nil || l.Usage().Reserved != 2 {
		t.Fatalf("%v, %+v", err, l.Usage())
	}
	if err := l.Release("r1", "drained", origin); err != nil {
		t.Fatal(err)
	}
	if u := l.Usage(); u.Capacity != 1 || u.Free != 1 {
		t.Fatalf("usage %+v", u)
	}
}

func TestNoCapacityErrorNamesHolders(t *testing.T) {
	l := rack("H100 H100 L4")
	mustReserve(t, &l, Ask{Holder: "r1", Owner: "function default/x", GPUs: 1, Products: []string{"H100"}})
	l.Devices[1].Foreign = "foreign pid 123"
	_, err := l.Reserve(Ask{Holder: "r2", Owner: "function default/y", GPUs: 2, Products: []string{"H100", "A100"}, Memory: 40 << 30}, time.Minute, origin)
	wantErr(t, err, ErrNoCapacity)
	var no *NoCapacityError
	if !errors.As(err, &no) || len(no.Holders) != 2 {
		t.Fatalf("%v", err)
	}
	const want = "no capacity for function default/y: 2 GPUs (H100 or A100, 40 GiB at least) on one node asked for, 0 free in all; " +
		"held by foreign pid 123 (1), function default/x (1)"
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
}

func TestCheckRefusesContradictions(t *testing.T) {
	sound := rack("H100 H100")
	mustReserve(t, &sound, Ask{Holder: "r1", GPUs: 1})
	mustReserve(t, &sound, Ask{Holder: "r2", GPUs: 1})
	for name, spoil := range map[string]func(*Ledger){
		"two holders of a device":         func(l *Ledger) { l.Leases[1].Devices = l.Leases[0].Devices },
		"a device that does not exist":    func(l *Ledger) { l.Leases[0].Devices = []string{"gpu-9"} },
		"a tombstone with devices":        func(l *Ledger) { l.Leases[0].State = Released },
		"unknown on a node in reach":      func(l *Ledger) { l.Leases[0].State, l.Leases[0].Before = Unknown, Bound },
		"known on a lost node":            func(l *Ledger) { l.Lost = []string{"n0"} },
		"a state outside the set":         func(l *Ledger) { l.Leases[0].State = "held" },
		"an epoch from the future":        func(l *Ledger) { l.Epoch = 1 },
		"leases out of order":             func(l *Ledger) { l.Leases[0], l.Leases[1] = l.Leases[1], l.Leases[0] },
		"one holder with two leases":      func(l *Ledger) { l.Leases[1].Holder = "r1" },
		"a device listed twice":           func(l *Ledger) { l.Devices[1].ID = l.Devices[0].ID },
		"a lease without a holder's name": func(l *Ledger) { l.Leases[0].Holder = "" },
	} {
		t.Run(name, func(t *testing.T) {
			data, err := json.Marshal(sound)
			if err != nil {
				t.Fatal(err)
			}
			var l Ledger
			if err := json.Unmarshal(data, &l); err != nil || l.Check() != nil {
				t.Fatal(err, l.Check())
			}
			spoil(&l)
			wantErr(t, l.Check(), ErrInvariant)
		})
	}
}
