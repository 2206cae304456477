package scale

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Usage counts devices; every device is in exactly one of the parts, which add up to
// Capacity.
type Usage struct {
	Capacity int `json:"capacity"`
	Reserved int `json:"reserved"`
	Bound    int `json:"bound"`
	Draining int `json:"draining"`
	Unknown  int `json:"unknown"`
	Foreign  int `json:"foreign"`
	Unusable int `json:"unusable"` // unleased, and sick or on a node out of reach
	Free     int `json:"free"`
}

// Usage counts the devices by what they are doing.
func (l Ledger) Usage() Usage {
	u := Usage{Capacity: len(l.Devices)}
	held := l.held()
	for i, d := range l.Devices {
		switch {
		case held[i] != nobody:
			u.count(l.Leases[held[i]].State)
		case d.Foreign != "":
			u.Foreign++
		case !l.sound(d):
			u.Unusable++
		default:
			u.Free++
		}
	}
	return u
}

// Each calls do with every device, the lease that holds it (nil: none) and whether somebody could
// be given it. The lease is the ledger's own: it may be read until the ledger changes.
func (l Ledger) Each(do func(d Device, lease *Lease, usable bool)) {
	held := l.held()
	for i, d := range l.Devices {
		var lease *Lease
		if held[i] != nobody {
			lease = &l.Leases[held[i]]
		}
		do(d, lease, d.Foreign == "" && l.sound(d))
	}
}

func (u *Usage) count(s LeaseState) {
	switch s {
	case Reserved:
		u.Reserved++
	case Bound:
		u.Bound++
	case Drain:
		u.Draining++
	default:
		u.Unknown++
	}
}

// unusable is the name under which Holders lists devices that nobody holds and nobody can use.
const unusable = "nobody: sick or out of reach"

// Holders lists who holds GPUs, most first, then by name. Leases are summed by owner;
// foreign holders and unusable devices are listed too, so that holders and free devices
// add up to the capacity.
func (l Ledger) Holders() []Holder { return l.holders(func(Device) bool { return true }) }

func (l Ledger) holders(of func(Device) bool) []Holder {
	held := l.held()
	var who []string
	for i, d := range l.Devices {
		switch {
		case !of(d):
		case held[i] != nobody:
			who = append(who, l.Leases[held[i]].Owner)
		case d.Foreign != "":
			who = append(who, d.Foreign)
		case !l.sound(d):
			who = append(who, unusable)
		}
	}
	return tally(who)
}

// tally counts equal names.
func tally(who []string) []Holder {
	slices.Sort(who)
	var out []Holder
	for _, w := range who {
		if n := len(out); n > 0 && out[n-1].Who == w {
			out[n-1].GPUs++
			continue
		}
		out = append(out, Holder{Who: w, GPUs: 1})
	}
	slices.SortStableFunc(out, func(a, b Holder) int { return cmp.Compare(b.GPUs, a.GPUs) })
	return out
}

// nobody is the lease of a device that has none.
const nobody = -1

// held is, for each device, the index of the lease that holds it, or nobody.
func (l Ledger) held() []int {
	held := make([]int, len(l.Devices))
	for i := range held {
		held[i] = nobody
	}
	for i, x := range l.Leases {
		for _, id := range x.Devices {
			if at, found := l.device(x.Node, id); found {
				held[at] = i
			}
		}
	}
	return held
}

// device finds a device. It compares in place, since ledgers are searched a lot.
func (l Ledger) device(node, id string) (int, bool) {
	return sort.Find(len(l.Devices), func(i int) int {
		if c := strings.Compare(node, l.Devices[i].Node); c != 0 {
			return c
		}
		return strings.Compare(id, l.Devices[i].ID)
	})
}

// Check says whether the ledger contradicts itself: a device with two holders, a lease on
// a device that does not exist, more reserved than there is, slices out of order. The
// error is ErrInvariant with what is wrong. A ledger made by its methods never fails; one
// read from a store is checked before it is used.
func (l Ledger) Check() error {
	if !slices.IsSortedFunc(l.Devices, byNodeAndID) || !slices.IsSorted(l.Lost) ||
		!slices.IsSortedFunc(l.Leases, func(a, b Lease) int { return cmp.Compare(a.Holder, b.Holder) }) {
		return fmt.Errorf("%w: devices, leases or lost nodes are not sorted", ErrInvariant)
	}
	for i, d := range l.Devices {
		if i > 0 && byNodeAndID(l.Devices[i-1], d) == 0 {
			return fmt.Errorf("%w: device %s on node %s is listed twice", ErrInvariant, d.ID, d.Node)
		}
	}
	holder := make([]string, len(l.Devices))
	for i, x := range l.Leases {
		if i > 0 && l.Leases[i-1].Holder == x.Holder {
			return fmt.Errorf("%w: holder %s has two leases", ErrInvariant, x.Holder)
		}
		if err := cmp.Or(l.checkDevices(x, holder), l.checkLease(x)); err != nil {
			return err
		}
	}
	return l.checkUsage()
}

// checkDevices notes the holder of each device of a lease.
func (l Ledger) checkDevices(x Lease, holder []string) error {
	for _, id := range x.Devices {
		at, found := l.device(x.Node, id)
		switch {
		case !found:
			return fmt.Errorf("%w: %s holds device %s on node %q, which is not in the ledger", ErrInvariant, x.Holder, id, x.Node)
		case holder[at] != "":
			return fmt.Errorf("%w: device %s on node %s has two holders, %s and %s", ErrInvariant, id, x.Node, holder[at], x.Holder)
		}
		holder[at] = x.Holder
	}
	return nil
}

func (l Ledger) checkLease(x Lease) error {
	_, lost := slices.BinarySearch(l.Lost, x.Node)
	state := x.State
	if state == Unknown {
		state = x.Before
	}
	switch {
	case x.Holder == "":
		return fmt.Errorf("%w: a lease has no holder", ErrInvariant)
	case x.State == Released && len(x.Devices) > 0:
		return fmt.Errorf("%w: %s was released and holds devices", ErrInvariant, x.Holder)
	case x.State != Released && lost != (x.State == Unknown):
		return fmt.Errorf("%w: %s is %s, and its node %q is lost: %v", ErrInvariant, x.Holder, x.State, x.Node, lost)
	case x.State != Released && rank(state) < 0:
		return fmt.Errorf("%w: %s is in state %q", ErrInvariant, x.Holder, state)
	case x.Epoch > l.Epoch:
		return fmt.Errorf("%w: %s has epoch %d, the ledger %d", ErrInvariant, x.Holder, x.Epoch, l.Epoch)
	}
	return nil
}

func (l Ledger) checkUsage() error {
	u := l.Usage()
	claimed := u.Reserved + u.Bound + u.Draining + u.Unknown
	if claimed > u.Capacity || claimed+u.Foreign+u.Unusable+u.Free != u.Capacity {
		return fmt.Errorf("%w: %+v does not add up", ErrInvariant, u)
	}
	return nil
}
