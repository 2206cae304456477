package scale

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTombstonesAreStoredAsLines(t *testing.T) {
	l := rack("L4 L4")
	mustReserve(t, &l, Ask{Holder: "lives", Owner: "function default/a", GPUs: 1})
	mustReserve(t, &l, Ask{Holder: "ended", Owner: "function default/a", GPUs: 1})
	must(t, l.Release("ended", "reservation ran out, twice", origin.Add(time.Millisecond)))
	must(t, l.Release("never-was", "", origin))
	data, err := json.Marshal(l)
	must(t, err)
	if n := strings.Count(string(data), `"holder"`); n != 1 {
		t.Errorf("%d leases as objects in %s, want the live one", n, data)
	}
	var again Ledger
	must(t, json.Unmarshal(data, &again))
	if !reflect.DeepEqual(again, l) {
		t.Errorf("read back %+v, want %+v", again, l)
	}
}

func TestTombstonesAsObjectsAreRead(t *testing.T) {
	old := `{"devices":[],"leases":[{"holder":"a","owner":"function default/a","node":"n0","state":"released","epoch":3,"since":"2026-11-23T10:00:00Z","cause":"idle"}],"epoch":3}`
	var l Ledger
	must(t, json.Unmarshal([]byte(old), &l))
	if x, found := l.Lease("a"); !found || x.State != Released || x.Epoch != 3 || x.Cause != "idle" {
		t.Errorf("read %+v, %v", x, found)
	}
}

func TestAHolderIsOneWord(t *testing.T) {
	l := rack("L4")
	for _, name := range []string{"", "two words", "line\nbreak"} {
		if _, err := l.Reserve(Ask{Holder: name, GPUs: 1}, time.Minute, origin); err == nil {
			t.Errorf("a reservation for %q was taken", name)
		}
		if err := l.Release(name, "x", origin); err == nil {
			t.Errorf("a release for %q was taken", name)
		}
	}
}

// FuzzTombstone: what is read is written the same, and what is no tombstone is an error, no panic.
func FuzzTombstone(f *testing.F) {
	f.Add("tinylm-1f2e3d4c5b 17 2026-11-23T10:00:00.5Z drained")
	f.Add("a 1 2026-11-23T10:00:00Z ")
	f.Add("a b c")
	f.Fuzz(func(t *testing.T, line string) {
		x, err := parseTombstone(line)
		if err != nil {
			return
		}
		again, err := parseTombstone(x.line())
		if err != nil || again.Holder != x.Holder || again.Epoch != x.Epoch || !again.Since.Equal(x.Since) || again.Cause != x.Cause {
			t.Errorf("%q became %q: %v", line, x.line(), err)
		}
	})
}

// TestABatchThatChangesNothingSaysSo: the pool's inventory comes every few seconds, and is nearly always the same.
func TestABatchThatChangesNothingSaysSo(t *testing.T) {
	l := rack("L4 L4", "A100")
	mustReserve(t, &l, Ask{Holder: "r", Owner: "function default/a", GPUs: 1})
	next := l.Edit()
	next.SetInventory([]string{"n0", "n1"}, l.Devices, origin.Add(time.Second))
	if next.Seal() {
		t.Errorf("the same inventory changed the leases: %+v, before %+v", next.Leases, l.Leases)
	}
}
