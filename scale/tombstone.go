package scale

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A stored ledger holds each tombstone as one line, "holder epoch since cause": there may be ten
// for each live lease, every write carries all of them, and as objects they took most of it.
//
//	tinylm-1f2e3d4c5b 17 2026-11-23T10:00:00Z drained

// plainLedger is a ledger without its methods.
type plainLedger Ledger

// storedLedger is how a ledger is written.
type storedLedger struct {
	plainLedger
	Ended []string `json:"ended,omitempty"`
}

// MarshalJSON writes live leases as objects and tombstones as lines.
func (l Ledger) MarshalJSON() ([]byte, error) {
	out := storedLedger{plainLedger: plainLedger(l)}
	out.Leases = make([]Lease, 0, len(l.Leases))
	for _, x := range l.Leases {
		if x.State == Released {
			out.Ended = append(out.Ended, x.line())
			continue
		}
		out.Leases = append(out.Leases, x)
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote, and tombstones that are objects.
func (l *Ledger) UnmarshalJSON(data []byte) error {
	var in storedLedger
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*l = Ledger(in.plainLedger)
	for _, line := range in.Ended {
		x, err := parseTombstone(line)
		if err != nil {
			return err
		}
		l.Leases = append(l.Leases, x)
	}
	slices.SortFunc(l.Leases, func(a, b Lease) int { return strings.Compare(a.Holder, b.Holder) })
	return nil
}

// line is a tombstone in text. The cause comes last: it may have spaces in it.
func (x Lease) line() string {
	b := make([]byte, 0, 96)
	b = append(append(b, x.Holder...), ' ')
	b = append(strconv.AppendUint(b, x.Epoch, 10), ' ')
	b = append(x.Since.AppendFormat(b, time.RFC3339Nano), ' ')
	return string(append(b, x.Cause...))
}

func parseTombstone(line string) (Lease, error) {
	part := strings.SplitN(line, " ", 4)
	if len(part) != 4 {
		return Lease{}, fmt.Errorf("tombstone %q: want \"holder epoch since cause\"", line)
	}
	epoch, err := strconv.ParseUint(part[1], 10, 64)
	if err != nil {
		return Lease{}, fmt.Errorf("tombstone %q: epoch: %w", line, err)
	}
	since, err := time.Parse(time.RFC3339Nano, part[2])
	if err != nil {
		return Lease{}, fmt.Errorf("tombstone %q: since: %w", line, err)
	}
	return Lease{Holder: part[0], State: Released, Epoch: epoch, Since: since, Cause: part[3]}, nil
}
