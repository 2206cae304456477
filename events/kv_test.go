package events

import (
	"context"
	"errors"
	"strings"
	"testing"

	"stoker.dev/stoker/functions"
)

func functionRecord(name string, generation uint64) FunctionRecord {
	r := FunctionRecord{Generation: generation, Revision: "r", Shard: 3}
	r.Function.Metadata = functions.Metadata{Namespace: "default", Name: name}
	return r
}

func TestFunctionsAreWrittenByCompareAndSwap(t *testing.T) {
	b := newBus(t)
	ctx := t.Context()
	s, err := OpenStore[FunctionRecord](ctx, b, BucketFunctions)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Get(ctx, StateKey(tiny)); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	rev, err := s.Put(ctx, "default.tinylm", functionRecord("tinylm", 1), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(ctx, "default.tinylm", functionRecord("tinylm", 1), 0); !errors.Is(err, ErrConflict) {
		t.Errorf("created twice: %v", err)
	}
	if _, err := s.Put(ctx, "default.tinylm", functionRecord("tinylm", 2), rev+1); !errors.Is(err, ErrConflict) {
		t.Errorf("wrong revision: %v", err)
	}
	if rev, err = s.Put(ctx, "default.tinylm", functionRecord("tinylm", 2), rev); err != nil {
		t.Fatal(err)
	}
	got, at, err := s.Get(ctx, StateKey(tiny))
	if err != nil || got.Generation != 2 || at != rev {
		t.Errorf("%+v at %d, %v", got, at, err)
	}
	if err := s.Delete(ctx, StateKey(tiny), rev-1); !errors.Is(err, ErrConflict) {
		t.Errorf("deleted at a wrong revision: %v", err)
	}
	for range 2 {
		if err := s.Delete(ctx, StateKey(tiny), rev); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Put(ctx, "default.tinylm", functionRecord("tinylm", 1), 0); err != nil {
		t.Errorf("created again: %v", err)
	}
}

func TestReplaceWritesOverWhatItsOneWriterLeft(t *testing.T) {
	b := newBus(t)
	ctx := t.Context()
	s, err := OpenStore[FunctionRecord](ctx, b, BucketFunctions)
	if err != nil {
		t.Fatal(err)
	}
	first, err := Replace(ctx, s, "default.tinylm", functionRecord("tinylm", 1), 0)
	if err != nil {
		t.Fatal(err)
	}
	// Its answer was lost: the writer still holds revision 0.
	second, err := Replace(ctx, s, "default.tinylm", functionRecord("tinylm", 2), 0)
	if err != nil || second <= first {
		t.Fatalf("over its own write: revision %d after %d, %v", second, first, err)
	}
	if err := s.Delete(ctx, "default.tinylm", second); err != nil {
		t.Fatal(err)
	}
	third, err := Replace(ctx, s, "default.tinylm", functionRecord("tinylm", 3), second)
	if err != nil {
		t.Fatalf("after a deletion: %v", err)
	}
	if got, at, err := s.Get(ctx, "default.tinylm"); err != nil || got.Generation != 3 || at != third {
		t.Errorf("%+v at %d, %v, want generation 3 at %d", got, at, err, third)
	}
}

func TestFunctionsAreListedInOrder(t *testing.T) {
	b := newBus(t)
	s, err := OpenStore[FunctionRecord](t.Context(), b, BucketFunctions)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := s.List(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	for _, name := range []string{"c", "a", "d", "b"} {
		if _, err := s.Put(t.Context(), "default."+name, functionRecord(name, 1), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Delete(t.Context(), StateKey(functions.Key{Namespace: "default", Name: "d"}), 3); err != nil {
		t.Fatal(err)
	}
	all, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var keys string
	for _, e := range all {
		keys += e.Key + " "
	}
	if keys != "default.a default.b default.c " {
		t.Errorf("%s", keys)
	}
}

func TestWatchTellsWhatIsThereAndThenEachChange(t *testing.T) {
	b := newBus(t)
	s, err := OpenStore[FunctionRecord](t.Context(), b, BucketFunctions)
	if err != nil {
		t.Fatal(err)
	}
	rev, err := s.Put(t.Context(), "default.tinylm", functionRecord("tinylm", 1), 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	changes, err := s.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if c := next(t, changes); c.Key != "default.tinylm" || c.Rev != rev || c.Value.Generation != 1 {
		t.Errorf("%+v", c)
	}
	if c := next(t, changes); !c.Current {
		t.Errorf("%+v", c)
	}
	if rev, err = s.Put(t.Context(), "default.tinylm", functionRecord("tinylm", 2), rev); err != nil {
		t.Fatal(err)
	}
	if c := next(t, changes); c.Value.Generation != 2 || c.Deleted {
		t.Errorf("%+v", c)
	}
	if err := s.Delete(t.Context(), StateKey(tiny), rev); err != nil {
		t.Fatal(err)
	}
	if c := next(t, changes); !c.Deleted || c.Key != "default.tinylm" {
		t.Errorf("%+v", c)
	}
	cancel()
	eventually(t, "channel closes", func() bool {
		select {
		case _, open := <-changes:
			return !open
		default:
			return false
		}
	})
}

// TestUnreadableValueDoesNotEndAWatch: a newer version may have written it.
func TestUnreadableValueDoesNotEndAWatch(t *testing.T) {
	b := newBus(t)
	s, err := OpenStore[map[string]int](t.Context(), b, BucketState)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{"a.a": "{", "b.b": `{"n":1}`} {
		if _, err := s.kv.PutString(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	changes, err := s.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var bad, good int
	for c := next(t, changes); !c.Current; c = next(t, changes) {
		if c.Err != nil {
			bad++
		} else {
			good += c.Value["n"]
		}
	}
	if bad != 1 || good != 1 {
		t.Errorf("%d bad, %d good", bad, good)
	}
	_, err = s.List(t.Context())
	if err == nil {
		t.Fatal("a list hides a value that cannot be read")
	}
	for _, want := range []string{"a.a in " + BucketState + ", revision", "restore a backup", "nats kv del " + BucketState + " a.a"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}
