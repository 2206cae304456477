package activities_test

import (
	"strings"
	"testing"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/functions"
)

// A rank's name is a DNS label, and no other rank's.
func TestRanksAreNamedApart(t *testing.T) {
	long := activities.GangRef{Key: functions.Key{Namespace: "ns", Name: strings.Repeat("n", 63)}, UID: "0123456789", Generation: 1_000_000, Nodes: 2}
	if id := long.RankID(functions.MaxNodes - 1); len(id) > 63 || !functions.ValidName(id) {
		t.Errorf("%q, %d bytes, is no DNS label", id, len(id))
	}
	next := long
	next.Generation++
	seen := map[string]bool{}
	for _, g := range []activities.GangRef{long, next} {
		for rank := range g.Nodes {
			seen[g.RankID(rank)] = true
		}
	}
	if len(seen) != 4 {
		t.Errorf("two generations of two ranks have %d names", len(seen))
	}
}
