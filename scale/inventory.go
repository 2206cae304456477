package scale

import (
	"cmp"
	"slices"
	"time"
)

// Device is one GPU a pool owns. Its ID is unique on its node.
type Device struct {
	ID      string `json:"id"` // UUID or "sim-0"
	Node    string `json:"node"`
	Product string `json:"product"`
	Memory  uint64 `json:"memory"` // bytes
	Healthy bool   `json:"healthy"`
	Foreign string `json:"foreign,omitempty"` // held by something that is not ours
	Missing bool   `json:"missing,omitempty"` // leased, and no longer in its node's inventory
}

func byNodeAndID(a, b Device) int {
	return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.ID, b.ID))
}

// SetInventory takes a provider's whole inventory: what every reachable node has. A node
// that is not listed is lost while somebody has a lease on it, and forgotten otherwise.
// A device of an unlisted node lists it.
func (l *Ledger) SetInventory(nodes []string, devices []Device, now time.Time) {
	nodes = slices.Clone(nodes)
	for _, d := range devices {
		nodes = append(nodes, d.Node)
	}
	nodes = sortedSet(nodes)
	for _, node := range l.nodes() {
		if _, listed := slices.BinarySearch(nodes, node); !listed {
			l.NodeLost(node, now)
		}
	}
	for _, node := range nodes {
		l.SetDevices(node, slices.DeleteFunc(slices.Clone(devices), func(d Device) bool { return d.Node != node }), now)
	}
	l.forgetNodes()
}

// SetDevices takes the inventory of one node, which is thereby in reach. A device that
// vanished while leased stays, sick and missing, until its lease ends. Of two devices with
// one ID the first is taken.
func (l *Ledger) SetDevices(node string, devices []Device, now time.Time) {
	held := l.held()
	next := make([]Device, 0, len(l.Devices)+len(devices))
	for _, d := range devices {
		d.Node, d.Missing = node, false
		next = append(next, d)
	}
	slices.SortStableFunc(next, byNodeAndID)
	next = slices.CompactFunc(next, func(a, b Device) bool { return a.ID == b.ID })
	mine := next
	for i, d := range l.Devices {
		if d.Node != node {
			next = append(next, d)
			continue
		}
		_, known := slices.BinarySearchFunc(mine, d, byNodeAndID)
		if held[i] != nobody && !known {
			d.Healthy, d.Missing = false, true
			next = append(next, d)
		}
	}
	slices.SortFunc(next, byNodeAndID)
	l.Devices = next
	l.NodeFound(node, now)
}

// NodeLost says that a node is out of reach: its leases become unknown, neither usable nor
// released, and nothing is placed on it. Unreachable is not failed.
func (l *Ledger) NodeLost(node string, now time.Time) {
	if node == "" {
		return
	}
	if i, found := slices.BinarySearch(l.Lost, node); !found {
		l.Lost = slices.Insert(slices.Clone(l.Lost), i, node)
	}
	l.eachOn(node, func(x *Lease) bool {
		if x.State == Unknown {
			return false
		}
		x.State, x.Before, x.Since = Unknown, x.State, wall(now)
		return true
	})
}

// NodeFound says that a node is back: its leases are what they were before.
func (l *Ledger) NodeFound(node string, now time.Time) {
	if i, found := slices.BinarySearch(l.Lost, node); found {
		l.Lost = slices.Delete(slices.Clone(l.Lost), i, i+1)
	}
	l.eachOn(node, func(x *Lease) bool {
		if x.State != Unknown {
			return false
		}
		x.State, x.Before, x.Since = x.Before, "", wall(now)
		return true
	})
}

// Fence ends the unknown leases of a lost node and returns them as they were: an operator
// says that nothing runs there any more and that it will not come back by itself. On a
// node in reach it does nothing.
func (l *Ledger) Fence(node string, now time.Time) []Lease {
	var ended []Lease
	for _, x := range l.Leases {
		if x.Node == node && x.State == Unknown {
			ended = append(ended, x.clone())
		}
	}
	for _, x := range ended {
		l.bury(x.clone(), CauseFenced, now)
	}
	return ended
}

// eachOn changes the live leases of a node for which change says that it did.
func (l *Ledger) eachOn(node string, change func(*Lease) bool) {
	for i := range l.Leases {
		if x := l.Leases[i]; x.Node == node && node != "" && x.State != Released && change(&x) {
			l.own(0)
			l.Leases[i] = x
		}
	}
}

// nodes lists every node the ledger has heard of and not forgotten.
func (l Ledger) nodes() []string {
	out := slices.Clone(l.Lost)
	for _, d := range l.Devices {
		out = append(out, d.Node)
	}
	return sortedSet(append(out, l.leasedNodes()...))
}

func (l Ledger) leasedNodes() []string {
	var out []string
	for _, x := range l.Leases {
		if x.State != Released && x.Node != "" {
			out = append(out, x.Node)
		}
	}
	return sortedSet(out)
}

// forgetNodes drops lost nodes on which nobody has a lease.
func (l *Ledger) forgetNodes() {
	leased := l.leasedNodes()
	gone := func(node string) bool {
		_, lost := slices.BinarySearch(l.Lost, node)
		_, used := slices.BinarySearch(leased, node)
		return lost && !used
	}
	l.Devices = slices.DeleteFunc(slices.Clone(l.Devices), func(d Device) bool { return gone(d.Node) })
	lost := slices.Clone(l.Lost)
	l.Lost = slices.DeleteFunc(lost, func(n string) bool {
		_, used := slices.BinarySearch(leased, n)
		return !used
	})
}

// dropMissing forgets vanished devices that nobody holds any more.
func (l *Ledger) dropMissing() {
	if !slices.ContainsFunc(l.Devices, func(d Device) bool { return d.Missing }) {
		return
	}
	held, keep := l.held(), make([]Device, 0, len(l.Devices))
	for i, d := range l.Devices {
		if !d.Missing || held[i] != nobody {
			keep = append(keep, d)
		}
	}
	l.Devices = keep
}

func sortedSet(s []string) []string {
	slices.Sort(s)
	return slices.Compact(s)
}
