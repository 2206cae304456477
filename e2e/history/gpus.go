package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// claim is one holder of one device for a stretch of time.
type claim struct {
	span
	device, replica string
	evidence        Record
}

// gpus checks that no device had two holders, by three witnesses that know nothing of each other: the kernel's locks
// and the processes seen alive, the provider's own times, and the ledger.
func (h *history) gpus() []Violation {
	var out []Violation
	for _, c := range h.conflict {
		out = append(out, Violation{GPUShared, c.Devices, "replica " + c.Replica + " was given a GPU that another process tree has", []Record{c}})
	}
	out = append(out, overlaps(h.certain(), "processes")...)
	out = append(out, overlaps(h.provided(), "the provider's own times")...)
	for _, l := range h.looks {
		out = append(out, doubleLease(l)...)
	}
	return out
}

// certain are the stretches for which a replica's tree certainly had its devices: from when its model server had
// locked them until one of its processes was last seen alive.
func (h *history) certain() []claim {
	var out []claim
	for _, id := range h.replicaIDs() {
		p := h.replica[id]
		last := p.lastAlive()
		for _, r := range p.holds {
			for _, d := range r.Devices {
				out = append(out, claim{span{r.At, later(r.At, last)}, d, id, r})
			}
		}
	}
	return out
}

// lastAlive is when the replica was last seen to have a process; zero: never.
func (p *replica) lastAlive() time.Time {
	var last time.Time
	for _, r := range p.process {
		last = later(last, r.Until)
	}
	return last
}

// provided are the stretches the provider itself claims.
func (h *history) provided() []claim {
	var out []claim
	for _, id := range h.replicaIDs() {
		for _, r := range h.replica[id].provider {
			for _, d := range r.Devices {
				out = append(out, claim{span{r.At, r.Until}, d, id, r})
			}
		}
	}
	return out
}

// overlaps sweeps over the claims of each device. A zero end lasts for ever.
func overlaps(claims []claim, witness string) []Violation {
	byDevice := map[string][]claim{}
	for _, c := range claims {
		byDevice[c.device] = append(byDevice[c.device], c)
	}
	var out []Violation
	for _, device := range slices.Sorted(maps.Keys(byDevice)) {
		list := byDevice[device]
		slices.SortStableFunc(list, func(a, b claim) int { return a.from.Compare(b.from) })
		holder := list[0]
		for _, c := range list[1:] {
			if c.replica != holder.replica && (holder.to.IsZero() || c.from.Before(holder.to)) {
				says := fmt.Sprintf("by %s, %s had it until %s and %s from %s on", witness, holder.replica, holder.to.Format(time.RFC3339Nano), c.replica, c.from.Format(time.RFC3339Nano))
				out = append(out, Violation{GPUShared, []string{device}, says, []Record{holder.evidence, c.evidence}})
			}
			if !holder.to.IsZero() && (c.to.IsZero() || c.to.After(holder.to)) {
				holder = c
			}
		}
	}
	return out
}

func doubleLease(look Record) []Violation {
	var out []Violation
	holder := map[string]string{}
	for _, l := range look.Leases {
		for _, d := range l.Devices {
			if other, taken := holder[d]; taken {
				out = append(out, Violation{GPUShared, []string{d}, "the ledger gives it to " + other + " and to " + l.Replica, []Record{look}})
			}
			holder[d] = l.Replica
		}
	}
	return out
}

// leases checks that whatever ran had a lease: it is released when the tree is gone, not before.
func (h *history) leases() []Violation {
	var out []Violation
	for _, id := range h.replicaIDs() {
		if v := h.unleased(h.replica[id]); v != nil {
			out = append(out, *v)
		}
	}
	return out
}

// unleased finds a process that was alive before and after a look at the ledger in which its replica has no lease.
func (h *history) unleased(p *replica) *Violation {
	for _, r := range p.process {
		for _, look := range h.during(r) {
			if !slices.ContainsFunc(look.Leases, func(l Lease) bool { return l.Replica == p.id }) {
				says := fmt.Sprintf("%s (pid %d) ran before and after a look at the ledger in which its replica has no lease", r.Program, r.PID)
				return &Violation{LeaseEarly, []string{p.id}, says, []Record{r, look}}
			}
		}
	}
	return nil
}

// during are the looks that lie within a process's life.
func (h *history) during(p Record) []Record {
	first, _ := slices.BinarySearchFunc(h.looks, p.At, func(l Record, t time.Time) int { return l.At.Compare(t) })
	var out []Record
	for _, l := range h.looks[first:] {
		if l.At.After(p.Until) {
			break
		}
		if !l.Until.After(p.Until) {
			out = append(out, l)
		}
	}
	return out
}

// books compares what the provider and the ledger say of a replica with what its model server says of itself.
func (h *history) books() []Violation {
	leased := map[string][]string{}
	for _, look := range h.looks {
		for _, l := range look.Leases {
			if len(l.Devices) > 0 {
				leased[l.Replica] = l.Devices
			}
		}
	}
	var out []Violation
	for _, id := range h.replicaIDs() {
		p := h.replica[id]
		if len(p.holds) > 0 {
			out = append(out, p.compare(leased[id])...)
		}
	}
	return out
}

func (p *replica) compare(leased []string) []Violation {
	var out []Violation
	differ := func(says string, evidence ...Record) {
		out = append(out, Violation{BooksDiffer, []string{p.id}, says, evidence})
	}
	own := p.holds[0]
	if len(leased) > 0 && !sameSet(leased, own.Devices) {
		differ(fmt.Sprintf("the ledger gives it %s, and it runs on %s", strings.Join(leased, ","), strings.Join(own.Devices, ",")), own)
	}
	if len(p.provider) != 1 {
		differ(fmt.Sprintf("the provider has %d records of it, want 1", len(p.provider)), p.holds...)
		return out
	}
	told := p.provider[0]
	if !sameSet(told.Devices, own.Devices) {
		differ("the provider gave it other devices than it runs on", told, own)
	}
	if told.At.After(own.At) {
		differ("its model server ran before the provider says it started it", told, own)
	}
	if last := p.lastAlive(); !told.Until.IsZero() && last.After(told.Until) {
		differ("a process of it was seen after the provider said that all are gone", append(slices.Clone(p.process), told)...)
	}
	return out
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
