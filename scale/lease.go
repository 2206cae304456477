package scale

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// LeaseState is where a claim on GPUs is.
type LeaseState string

// The states of a lease: reserved → bound → draining → released, and unknown while its
// node is out of reach.
const (
	Reserved LeaseState = "reserved"
	Bound    LeaseState = "bound"
	Drain    LeaseState = "draining"
	Unknown  LeaseState = "unknown"
	Released LeaseState = "released" // kept as a tombstone for TombstoneTTL: it refuses a late start
)

// Lease is a holder's claim on GPUs of one node.
type Lease struct {
	Holder  string     `json:"holder"`            // replica ID
	Owner   string     `json:"owner"`             // "function default/tinylm"
	Node    string     `json:"node"`              // empty: no GPU asked for, so any node
	Devices []string   `json:"devices,omitempty"` // device IDs held, sorted; none once released
	State   LeaseState `json:"state"`
	Before  LeaseState `json:"before,omitempty"` // unknown only: the state to go back to
	Epoch   uint64     `json:"epoch"`            // fences: a start with an older epoch is refused
	Since   time.Time  `json:"since"`            // when the state began
	Expires time.Time  `json:"expires,omitzero"` // reserved (also before unknown) only
	Cause   string     `json:"cause,omitempty"`  // released only: why
}

func (x Lease) clone() Lease {
	x.Devices = slices.Clone(x.Devices)
	return x
}

// expired is about reservations only; while its node is out of reach none runs out, since
// nobody can tell whether its start happened.
func (x Lease) expired(now time.Time) bool { return x.State == Reserved && !now.Before(x.Expires) }

func (x Lease) endCause() string {
	if x.State == Released {
		return x.Cause
	}
	return CauseExpired
}

// Ask is a wish for GPUs, all on one node and of one product.
type Ask struct {
	Holder   string   `json:"holder"`
	Owner    string   `json:"owner"`
	GPUs     int      `json:"gpus"`               // 0: a lease without devices
	Products []string `json:"products,omitempty"` // acceptable ones, in order of preference; empty: any
	Memory   uint64   `json:"memory,omitempty"`   // bytes per GPU at least
	Avoid    []string `json:"avoid,omitempty"`    // nodes not to be placed on
}

func (a Ask) check(ttl time.Duration) error {
	if err := checkHolder("reserve", a.Holder); err != nil {
		return err
	}
	switch {
	case a.GPUs < 0:
		return fmt.Errorf("reserve for %s: %w: %d GPUs; 0 or more are allowed", a.Holder, ErrAsk, a.GPUs)
	case ttl <= 0:
		return fmt.Errorf("reserve for %s: %w: a reservation of %v; it must last longer than 0s", a.Holder, ErrAsk, ttl)
	}
	return nil
}

// checkHolder wants a name without white space: it is a word of its tombstone.
func checkHolder(verb, name string) error {
	if name == "" {
		return fmt.Errorf("%s: %w: the holder has no name", verb, ErrAsk)
	}
	if strings.ContainsFunc(name, unicode.IsSpace) {
		return fmt.Errorf("%s for %q: %w: a holder's name has no white space", verb, name, ErrAsk)
	}
	return nil
}

// describe is "2 GPUs (H100 or A100, 40 GiB at least)".
func (a Ask) describe() string {
	var kind []string
	if len(a.Products) > 0 {
		kind = append(kind, strings.Join(a.Products, " or "))
	}
	if a.Memory > 0 {
		kind = append(kind, fmt.Sprintf("%.3g GiB at least", float64(a.Memory)/(1<<30)))
	}
	text := fmt.Sprintf("%d GPUs", a.GPUs)
	if a.GPUs == 1 {
		text = "1 GPU"
	}
	if len(kind) > 0 {
		text += " (" + strings.Join(kind, ", ") + ")"
	}
	return text
}

// wall drops the monotonic reading and the zone, which would not survive a store.
func wall(t time.Time) time.Time { return t.Round(0).UTC() }

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
