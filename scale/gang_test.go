package scale_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/scale"
)

// A gang has all its leases or none, and whatever happens nobody else's are touched.
func TestAGangIsReservedWholeOrNotAtAll(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		var l scale.Ledger
		var devices []scale.Device
		for node := range rapid.IntRange(1, 3).Draw(t, "nodes") {
			for gpu := range rapid.IntRange(0, 4).Draw(t, "gpus") {
				devices = append(devices, scale.Device{ID: fmt.Sprintf("n%d-%d", node, gpu), Node: fmt.Sprintf("n%d", node), Product: "A", Healthy: true})
			}
		}
		l.SetInventory(nil, devices, now)
		if _, err := l.Reserve(scale.Ask{Holder: "other", Owner: "function a/b", GPUs: 1}, time.Minute, now); err != nil && len(devices) > 0 {
			t.Fatal(err)
		}
		each := rapid.IntRange(0, 2).Draw(t, "each")
		var asks []scale.Ask
		for rank := range rapid.IntRange(1, 6).Draw(t, "ranks") {
			asks = append(asks, scale.Ask{Holder: fmt.Sprint("rank", rank), Owner: "job a/b", GPUs: each, Avoid: []string{"n2"}})
		}
		before := l
		leases, err := l.ReserveGang(asks, time.Minute, now)
		if err != nil {
			if !errors.Is(err, scale.ErrNoCapacity) || !reflect.DeepEqual(before.Leases, l.Leases) {
				t.Fatalf("%v, and the ledger has %v, before %v", err, l.Leases, before.Leases)
			}
			return
		}
		again, err := l.ReserveGang(asks, time.Minute, now)
		if err != nil || !reflect.DeepEqual(again, leases) {
			t.Fatalf("a second time %v, %v; first %v", again, err, leases)
		}
		held := map[string]bool{}
		for _, x := range l.Leases {
			for _, d := range x.Devices {
				if held[d] || x.Holder != "other" && x.Node == "n2" {
					t.Fatalf("%v", l.Leases)
				}
				held[d] = true
			}
		}
		if len(held) != len(asks)*each+min(1, len(devices)) {
			t.Fatalf("%d devices held by %d ranks of %d", len(held), len(asks), each)
		}
	})
}
