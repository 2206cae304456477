package scale

import (
	"errors"
	"fmt"
	"strings"
)

// Sentinels of this package.
var (
	// ErrNoCapacity is returned when no node has the GPUs asked for; the error is a
	// [NoCapacityError], which says who holds them.
	ErrNoCapacity = errors.New("no capacity")
	// ErrTombstone is returned when a lease was released or expired: its holder must not start.
	ErrTombstone = errors.New("the lease has ended, its holder must not start")
	// ErrEpoch is returned when the caller's lease is older than the one the ledger has.
	ErrEpoch = errors.New("the lease is outdated")
	// ErrUnknownHolder is returned when no lease and no tombstone is known for a holder.
	ErrUnknownHolder = errors.New("no lease for this holder")
	// ErrAsk is returned for an ask that makes no sense, or that differs from the lease its holder has.
	ErrAsk = errors.New("bad ask")
	// ErrInvariant is returned by [Ledger.Check] for a ledger that contradicts itself.
	ErrInvariant = errors.New("ledger invariant broken")
	// ErrState is returned when a stored state cannot be read.
	ErrState = errors.New("scaling state cannot be read")
)

// NoCapacityError says what was asked for, how many GPUs of that kind are free, and who
// holds the others. errors.Is(err, ErrNoCapacity) holds for it.
type NoCapacityError struct {
	Ask     Ask
	Free    int // GPUs free of the kind asked for, over all nodes
	Holders []Holder
}

// Error names the holders, largest first.
func (e *NoCapacityError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "no capacity for %s: %s on one node asked for, %d free in all",
		e.Ask.Owner, e.Ask.describe(), e.Free)
	if len(e.Holders) > 0 {
		b.WriteString("; held by ")
		b.WriteString(holdersText(e.Holders))
	}
	return b.String()
}

// Is makes errors.Is(err, ErrNoCapacity) true.
func (e *NoCapacityError) Is(target error) bool { return target == ErrNoCapacity }

// holdersText is "function default/x (2), foreign pid 7 (1)"; at most MaxHolders are named.
func holdersText(holders []Holder) string {
	parts := make([]string, 0, MaxHolders+1)
	for i, h := range holders {
		if i == MaxHolders {
			parts = append(parts, fmt.Sprintf("and %d more", len(holders)-i))
			break
		}
		parts = append(parts, fmt.Sprintf("%s (%d)", h.Who, h.GPUs))
	}
	return strings.Join(parts, ", ")
}
