package scale

// State is what Decide remembers; it round-trips through JSON.
type State struct {
	Version int        `json:"version"`
	Epoch   uint64     `json:"epoch"`
	Last    Decision   `json:"last"`
	Recent  []Decision `json:"recent,omitempty"` // decisions that changed something, oldest first, at most MaxRecent
}
