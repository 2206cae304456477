package scale

import (
	"cmp"
	"fmt"
	"slices"
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
	held := l.heldBy()
	for _, d := range l.Devices {
		i, leased := held[d.key()]
		switch {
		case leased:
			u.count(l.Leases[i].State)
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
	held := l.heldBy()
	var who []string
	for _, d := range l.Devices {
		i, leased := held[d.key()]
		switch {
		case !of(d):
		case leased:
			who = append(who, l.Leases[i].Owner)
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

// heldBy maps each held device to the index of its lease. For look-ups only: its order
// reaches nothing.
func (l Ledger) heldBy() map[deviceKey]int {
	held := make(map[deviceKey]int, len(l.Leases))
	for i, x := range l.Leases {
		for _, id := range x.Devices {
			held[deviceKey{x.Node, id}] = i
		}
	}
	return held
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
	exists := make(map[deviceKey]bool, len(l.Devices))
	for _, d := range l.Devices {
		if exists[d.key()] {
			return fmt.Errorf("%w: device %s on node %s is listed twice", ErrInvariant, d.ID, d.Node)
		}
		exists[d.key()] = true
	}
	holder := make(map[deviceKey]string, len(l.Leases))
	for i, x := range l.Leases {
		if i > 0 && l.Leases[i-1].Holder == x.Holder {
			return fmt.Errorf("%w: holder %s has two leases", ErrInvariant, x.Holder)
		}
		if err := l.checkLease(x, exists, holder); err != nil {
			return err
		}
	}
	return l.checkUsage()
}

func (l Ledger) checkLease(x Lease, exists map[deviceKey]bool, holder map[deviceKey]string) error {
	for _, id := range x.Devices {
		k := deviceKey{x.Node, id}
		if !exists[k] {
			return fmt.Errorf("%w: %s holds device %s on node %q, which is not in the ledger", ErrInvariant, x.Holder, id, x.Node)
		}
		if other, taken := holder[k]; taken {
			return fmt.Errorf("%w: device %s on node %s has two holders, %s and %s", ErrInvariant, id, x.Node, other, x.Holder)
		}
		holder[k] = x.Holder
	}
	_, lost := slices.BinarySearch(l.Lost, x.Node)
	switch {
	case x.Holder == "":
		return fmt.Errorf("%w: a lease has no holder", ErrInvariant)
	case x.State == Released && len(x.Devices) > 0:
		return fmt.Errorf("%w: %s was released and holds devices", ErrInvariant, x.Holder)
	case x.State != Released && lost != (x.State == Unknown):
		return fmt.Errorf("%w: %s is %s, and its node %q is lost: %v", ErrInvariant, x.Holder, x.State, x.Node, lost)
	case x.State != Released && x.State != Unknown && rank(x.State) < 0:
		return fmt.Errorf("%w: %s is in state %q", ErrInvariant, x.Holder, x.State)
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
