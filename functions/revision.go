package functions

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// revisionBytes of the hash make a revision: 40 bits tell the handful of revisions of one
// function apart and stay readable as ten characters of a replica's name.
const revisionBytes = 5

// running is what a replica runs with. A field belongs here if a running replica would have
// to be replaced for its change to have an effect. What only the platform reads (bounds,
// wait SLO, keep-alive, queue, results, overload) takes effect in place and is left out, so
// that raising scaling.max restarts nothing.
//
// New fields of these types must be left out of the JSON when zero: then an upgrade of
// stoker rolls no replica.
type running struct {
	Runtime   Runtime   `json:"runtime"`
	Resources Resources `json:"resources"`
	Placement Placement `json:"placement"`
	Slots     int       `json:"slots"` // the agent and most model servers take it at start
}

// Revision names the content of a spec that replicas run with, by ten lower-case
// hexadecimal characters: the start of the SHA-256 of its canonical JSON. Defaults are
// applied first, so that writing one out changes nothing.
func Revision(s Spec) string {
	s = defaultSpec(s)
	canonical, err := json.Marshal(running{s.Runtime, s.Resources, s.Placement, s.Scaling.Slots})
	if err != nil {
		panic("functions: a spec always has a JSON form: " + err.Error()) // no field type can fail
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:revisionBytes])
}
