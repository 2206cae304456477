package scale

import "time"

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
	Expires time.Time  `json:"expires,omitzero"` // reserved only
	Cause   string     `json:"cause,omitempty"`  // released only: why
}

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

// Ask is a wish for GPUs, all on one node and of one product.
type Ask struct {
	Holder   string   `json:"holder"`
	Owner    string   `json:"owner"`
	GPUs     int      `json:"gpus"`               // 0: a lease without devices
	Products []string `json:"products,omitempty"` // acceptable ones, in order of preference; empty: any
	Memory   uint64   `json:"memory,omitempty"`   // bytes per GPU at least
}

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
