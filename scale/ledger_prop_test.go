package scale

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// naive is a ledger as one would tell it to a child: who holds what, in maps. The property
// test compares the real one with it after every step.
type naive struct {
	now     time.Time
	devices map[string]Device // by "node/id"
	leases  map[string]*Lease // live ones, by holder
	buried  map[string]time.Time
	lost    map[string]bool
	epochs  map[string]uint64
}

func (m *naive) free(d Device) bool {
	for _, x := range m.leases {
		if x.Node == d.Node && slices.Contains(x.Devices, d.ID) {
			return false
		}
	}
	return d.Healthy && !d.Missing && d.Foreign == "" && !m.lost[d.Node]
}

// best is the preference of the best product of which some node has enough, or -1.
func (m *naive) best(ask Ask) int {
	most := map[string]int{}
	for _, k := range slices.Sorted(maps.Keys(m.devices)) {
		if d := m.devices[k]; m.free(d) && d.Memory >= ask.Memory {
			most[d.Node+"/"+d.Product]++
		}
	}
	best := -1
	for k, n := range most {
		for rank, product := range append(slices.Clone(ask.Products), "") {
			matches := k[len("n0/"):] == product || product == "" && len(ask.Products) == 0
			if n >= ask.GPUs && matches && (best < 0 || rank < best) {
				best = rank
			}
		}
	}
	return best
}

// settle ends what the clock has ended, as Expire does.
func (m *naive) settle() {
	for h, x := range m.leases {
		if x.State == Reserved && !x.Expires.After(m.now) {
			m.bury(h)
		}
	}
	for h, at := range m.buried {
		if !at.Add(TombstoneTTL).After(m.now) {
			delete(m.buried, h)
		}
	}
}

func (m *naive) bury(holder string) {
	delete(m.leases, holder)
	m.buried[holder] = m.now
	for k, d := range m.devices {
		if d.Missing && m.unheld(d) {
			delete(m.devices, k)
		}
	}
}

func (m *naive) unheld(d Device) bool {
	d.Healthy, d.Missing, d.Foreign = true, false, ""
	lost := m.lost
	m.lost = nil
	defer func() { m.lost = lost }()
	return m.free(d)
}

// ledgerMachine drives both.
type ledgerMachine struct {
	l Ledger
	m naive
}

var (
	someHolders  = []string{"r1", "r2", "r3", "r4", "r5", "r6"}
	someNodes    = []string{"n0", "n1", "n2"}
	someProducts = []string{"L4", "A100", "H100"}
)

func TestLedgerAgainstNaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := &ledgerMachine{m: naive{now: origin, devices: map[string]Device{}, leases: map[string]*Lease{},
			buried: map[string]time.Time{}, lost: map[string]bool{}, epochs: map[string]uint64{}}}
		t.Repeat(map[string]func(*rapid.T){
			"":         x.check,
			"devices":  x.devices,
			"reserve":  x.reserve,
			"bind":     x.bind,
			"drain":    x.drain,
			"release":  x.release,
			"expire":   x.expire,
			"lost":     x.nodeLost,
			"found":    x.nodeFound,
			"fence":    x.fence,
			"snapshot": x.snapshot,
			"batch":    x.batch,
		})
	})
}

func (x *ledgerMachine) devices(t *rapid.T) {
	node := rapid.SampledFrom(someNodes).Draw(t, "node")
	var list []Device
	for i := range rapid.IntRange(0, 4).Draw(t, "n") {
		list = append(list, Device{
			ID: fmt.Sprintf("g%d", i), Product: rapid.SampledFrom(someProducts).Draw(t, "product"),
			Memory:  uint64(rapid.IntRange(1, 3).Draw(t, "memory")),
			Healthy: rapid.IntRange(0, 5).Draw(t, "sick") > 0,
			Foreign: rapid.SampledFrom([]string{"", "", "", "pid 7"}).Draw(t, "foreign"),
		})
	}
	x.l.SetDevices(node, slices.Clone(list), x.m.now)
	x.found(node)
	for k, d := range x.m.devices {
		listed := slices.ContainsFunc(list, func(o Device) bool { return o.ID == d.ID })
		switch {
		case d.Node != node || listed:
		case x.m.unheld(d):
			delete(x.m.devices, k)
		default:
			d.Healthy, d.Missing = false, true
			x.m.devices[k] = d
		}
	}
	for _, d := range list {
		d.Node = node
		x.m.devices[node+"/"+d.ID] = d
	}
}

func (x *ledgerMachine) reserve(t *rapid.T) {
	ask := Ask{
		Holder: rapid.SampledFrom(someHolders).Draw(t, "holder"), Owner: "function default/x",
		GPUs:     rapid.IntRange(0, 3).Draw(t, "gpus"),
		Products: rapid.SliceOfNDistinct(rapid.SampledFrom(someProducts), 0, 3, rapid.ID).Draw(t, "products"),
		Memory:   uint64(rapid.IntRange(0, 3).Draw(t, "memory")),
	}
	ttl := time.Duration(rapid.IntRange(1, 120).Draw(t, "ttl")) * time.Second
	had, known := x.m.leases[ask.Holder]
	_, dead := x.m.buried[ask.Holder]
	best, fit, free := x.m.best(ask), x.l.Fit(ask), x.l.Free(ask.Products, ask.Memory)
	lease, err := x.l.Reserve(ask, ttl, x.m.now)
	switch {
	case dead || known && had.State == Reserved && !had.Expires.After(x.m.now):
		wantErr(t, err, ErrTombstone)
	case known && len(had.Devices) != ask.GPUs:
		wantErr(t, err, ErrAsk)
	case known:
		wantErr(t, err, nil)
		if lease.Epoch != had.Epoch || !slices.Equal(lease.Devices, had.Devices) {
			t.Fatalf("the second reservation of %s differs: %+v, had %+v", ask.Holder, lease, had)
		}
	case ask.GPUs > 0 && best < 0:
		wantErr(t, err, ErrNoCapacity)
		if fit != 0 {
			t.Fatalf("Fit says %d, Reserve refuses", fit)
		}
	default:
		wantErr(t, err, nil)
		x.checkPlacement(t, ask, lease, best)
		if ask.GPUs > 0 && (fit < 1 || x.l.Free(ask.Products, ask.Memory) != free-ask.GPUs) {
			t.Fatalf("Fit was %d, Free %d → %d", fit, free, x.l.Free(ask.Products, ask.Memory))
		}
		x.m.leases[ask.Holder] = &lease
		x.m.epochs[ask.Holder] = lease.Epoch
	}
}

func (x *ledgerMachine) checkPlacement(t *rapid.T, ask Ask, lease Lease, best int) {
	if len(lease.Devices) != ask.GPUs || !slices.IsSorted(lease.Devices) {
		t.Fatalf("asked for %d GPUs, got %v", ask.GPUs, lease.Devices)
	}
	for _, id := range lease.Devices {
		d, exists := x.m.devices[lease.Node+"/"+id]
		if !exists || !x.m.free(d) || d.Memory < ask.Memory {
			t.Fatalf("%s was placed on %+v", ask.Holder, d)
		}
		if len(ask.Products) > 0 && d.Product != ask.Products[best] {
			t.Fatalf("%s was placed on a %s, a %s was free", ask.Holder, d.Product, ask.Products[best])
		}
	}
}

func (x *ledgerMachine) bind(t *rapid.T) {
	h := rapid.SampledFrom(someHolders).Draw(t, "holder")
	epoch := x.m.epochs[h] + uint64(rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "wrong"))
	err := x.l.Bind(h, epoch, x.m.now)
	lease, known := x.m.leases[h]
	_, dead := x.m.buried[h]
	switch {
	case !known && !dead:
		wantErr(t, err, ErrUnknownHolder)
	case dead:
		wantErr(t, err, ErrTombstone)
	case lease.State == Reserved && !lease.Expires.After(x.m.now):
		wantErr(t, err, ErrTombstone)
		x.m.bury(h)
	case lease.Epoch != epoch:
		wantErr(t, err, ErrEpoch)
	default:
		wantErr(t, err, nil)
		x.step(lease, Reserved, Bound)
	}
}

// step moves a lease from one of the states to the next, behind "unknown" too.
func (x *ledgerMachine) step(lease *Lease, from, to LeaseState) {
	if lease.State == from {
		lease.State = to
	}
	if lease.State == Unknown && lease.Before == from {
		lease.Before = to
	}
}

func (x *ledgerMachine) drain(t *rapid.T) {
	h := rapid.SampledFrom(someHolders).Draw(t, "holder")
	err := x.l.MarkDraining(h, x.m.now)
	lease, known := x.m.leases[h]
	if _, dead := x.m.buried[h]; !known && !dead {
		wantErr(t, err, ErrUnknownHolder)
		return
	}
	wantErr(t, err, nil)
	if known {
		x.step(lease, Reserved, Drain)
		x.step(lease, Bound, Drain)
	}
}

func (x *ledgerMachine) release(t *rapid.T) {
	h := rapid.SampledFrom(someHolders).Draw(t, "holder")
	for range 2 { // twice is once
		wantErr(t, x.l.Release(h, "drained", x.m.now), nil)
	}
	if _, dead := x.m.buried[h]; !dead {
		x.m.bury(h)
	}
}

func (x *ledgerMachine) expire(t *rapid.T) {
	x.m.now = x.m.now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 30, 90, 1000}).Draw(t, "sec")) * time.Second)
	live := len(x.m.leases)
	x.m.settle()
	if ended := x.l.Expire(x.m.now); len(ended) != live-len(x.m.leases) {
		t.Fatalf("%d reservations expired, want %d", len(ended), live-len(x.m.leases))
	}
}

func (x *ledgerMachine) nodeLost(t *rapid.T) {
	node := rapid.SampledFrom(someNodes).Draw(t, "node")
	x.l.NodeLost(node, x.m.now)
	x.m.lost[node] = true
	for _, lease := range x.m.leases {
		if lease.Node == node && lease.State != Unknown {
			lease.State, lease.Before = Unknown, lease.State
		}
	}
}

func (x *ledgerMachine) nodeFound(t *rapid.T) {
	node := rapid.SampledFrom(someNodes).Draw(t, "node")
	x.l.NodeFound(node, x.m.now)
	x.found(node)
}

func (x *ledgerMachine) found(node string) {
	delete(x.m.lost, node)
	for _, lease := range x.m.leases {
		if lease.Node == node && lease.State == Unknown {
			lease.State, lease.Before = lease.Before, ""
		}
	}
}

func (x *ledgerMachine) fence(t *rapid.T) {
	node := rapid.SampledFrom(someNodes).Draw(t, "node")
	ended := x.l.Fence(node, x.m.now)
	for _, h := range slices.Sorted(maps.Keys(x.m.leases)) {
		if lease := x.m.leases[h]; lease.Node == node && lease.State == Unknown {
			if len(ended) == 0 || ended[0].Holder != h {
				t.Fatalf("fencing %s did not end %s", node, h)
			}
			ended = ended[1:]
			x.m.bury(h)
		}
	}
	if len(ended) > 0 {
		t.Fatalf("fencing %s ended %v", node, ended)
	}
}

// snapshot: a copy is not changed by what happens to the original, and survives JSON.
func (x *ledgerMachine) snapshot(t *rapid.T) {
	text := func(l Ledger) string {
		data, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	copied := x.l
	kept := text(copied)
	for _, change := range []func(*rapid.T){x.reserve, x.bind, x.nodeLost, x.devices, x.fence, x.release, x.expire} {
		change(t)
	}
	if text(copied) != kept {
		t.Fatal("a change to a ledger changed its copy")
	}
	var again Ledger
	if err := json.Unmarshal([]byte(text(x.l)), &again); err != nil {
		t.Fatal(err)
	}
	if text(again) != text(x.l) || again.Check() != nil {
		t.Fatalf("the ledger changed through JSON: %v", again.Check())
	}
}

// batch: changes applied to an edited copy leave the original as it was, and are told.
func (x *ledgerMachine) batch(t *rapid.T) {
	before := x.l
	kept := before.Leases
	want := slices.Clone(kept)
	x.l = x.l.Edit()
	changes := []func(*rapid.T){x.reserve, x.bind, x.drain, x.release, x.nodeLost, x.nodeFound, x.devices, x.fence, x.expire}
	for range rapid.IntRange(0, 6).Draw(t, "changes") {
		changes[rapid.IntRange(0, len(changes)-1).Draw(t, "change")](t)
	}
	changed := x.l.Seal()
	if !reflect.DeepEqual(kept, want) {
		t.Fatal("a batch changed the ledger it began with")
	}
	if !changed && !reflect.DeepEqual(x.l.Leases, append([]Lease{}, want...)) {
		t.Fatalf("leases went from %v to %v, and the batch says that nothing changed", want, x.l.Leases)
	}
}

// check: the ledger is sound, and says what the naive one says.
func (x *ledgerMachine) check(t *rapid.T) {
	if err := x.l.Check(); err != nil {
		t.Fatal(err)
	}
	u := x.l.Usage()
	free := 0
	for _, d := range x.m.devices {
		if x.m.free(d) {
			free++
		}
	}
	held := 0
	for _, h := range x.l.Holders() {
		held += h.GPUs
	}
	claimed := u.Reserved + u.Bound + u.Draining + u.Unknown
	if u.Capacity != len(x.m.devices) || u.Free != free || x.l.Free(nil, 0) != free || held+free != u.Capacity || claimed > u.Capacity {
		t.Fatalf("usage %+v, held %d; the naive ledger has %d devices, %d free", u, held, len(x.m.devices), free)
	}
	for _, h := range someHolders {
		x.checkHolder(t, h)
	}
}

func (x *ledgerMachine) checkHolder(t *rapid.T, h string) {
	got, found := x.l.Lease(h)
	want, live := x.m.leases[h]
	_, dead := x.m.buried[h]
	switch {
	case found != (live || dead):
		t.Fatalf("%s is known: %v, want %v", h, found, live || dead)
	case live && (got.State != want.State || got.Before != want.Before || got.Epoch != want.Epoch || !reflect.DeepEqual(got.Devices, want.Devices)):
		t.Fatalf("%s has %+v, want %+v", h, got, *want)
	case dead && got.State != Released:
		t.Fatalf("%s is %s, want a tombstone", h, got.State)
	}
}

func wantErr(t interface {
	Fatalf(string, ...any)
	Helper()
}, err, want error) {
	t.Helper()
	if want == nil && err != nil || want != nil && !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}
