package verify_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stoker.dev/stoker/cmd/stoker/embedded/natsd/verify"
)

// Each damage is done to a store of several streams that a server wrote and left in order.
func TestDamages(t *testing.T) {
	clean := verify.Last{Clean: true, Streams: []string{"BIG", "SMALL"}}
	for name, tc := range map[string]struct {
		last verify.Last
		do   func(t *testing.T, s store)
		kind verify.Kind
		path string
		what string
	}{
		"a bit in the middle of the last block": {
			do:   func(t *testing.T, s store) { s.flip(t, "SMALL/msgs/1.blk", 2) },
			kind: verify.Block, path: "SMALL/msgs/1.blk", what: "after it are good",
		},
		"a bit in an older block": {
			do:   func(t *testing.T, s store) { s.flip(t, "BIG/msgs/1.blk", 2) },
			kind: verify.Block, path: "BIG/msgs/1.blk", what: "checksum",
		},
		"an older block that is short": {
			do:   func(t *testing.T, s store) { s.cut(t, "BIG/msgs/1.blk", 100) },
			kind: verify.Block, path: "BIG/msgs/1.blk", what: "none after it",
		},
		"a last block that is short, by whole records": {
			do:   func(t *testing.T, s store) { s.keep(t, "SMALL/msgs/1.blk", 2) },
			kind: verify.Block, path: "SMALL/msgs", what: "the last message is",
		},
		"the same where the index is no help but the run before ended well": {
			last: clean,
			do: func(t *testing.T, s store) {
				s.keep(t, "SMALL/msgs/1.blk", 2)
			},
			kind: verify.Block, path: "SMALL/msgs", what: "the last message is",
		},
		"a last block that is empty": {
			do:   func(t *testing.T, s store) { s.write(t, "SMALL/msgs/1.blk", nil) },
			kind: verify.Block, path: "SMALL/msgs", what: "the end is missing",
		},
		"a last block that is something else": {
			do:   func(t *testing.T, s store) { s.write(t, "SMALL/msgs/1.blk", []byte(strings.Repeat("hello ", 1000))) },
			kind: verify.Block, path: "SMALL/msgs", what: "the end is missing",
		},
		"a block that is gone": {
			last: clean,
			do:   func(t *testing.T, s store) { s.remove(t, "BIG/msgs/1.blk") },
			kind: verify.Block, path: "BIG/msgs/1.blk", what: "missing",
		},
		"a configuration that is gone": {
			do:   func(t *testing.T, s store) { s.remove(t, "SMALL/meta.inf") },
			kind: verify.Stream, path: "SMALL/meta.inf", what: "missing",
		},
		"a configuration that is empty": {
			do:   func(t *testing.T, s store) { s.write(t, "SMALL/meta.inf", nil) },
			kind: verify.Stream, path: "SMALL/meta.inf", what: "empty",
		},
		"a configuration that is short": {
			do:   func(t *testing.T, s store) { s.cut(t, "SMALL/meta.inf", 20) },
			kind: verify.Stream, path: "SMALL/meta.inf", what: "configuration",
		},
		"another stream's configuration": {
			do: func(t *testing.T, s store) {
				s.copy(t, "BIG/meta.inf", "SMALL/meta.inf")
				s.copy(t, "BIG/meta.sum", "SMALL/meta.sum")
			},
			kind: verify.Stream, path: "SMALL/meta.inf", what: "stream SMALL",
		},
		"a checksum that is older than what it does not match": {
			do: func(t *testing.T, s store) {
				s.write(t, "SMALL/meta.sum", []byte("0000000000000000"))
				s.age(t, "SMALL/meta.inf")
			},
			kind: verify.Stream, path: "SMALL/meta.inf", what: "meta.sum",
		},
		"the messages that are gone": {
			last: verify.Last{Streams: []string{"SMALL"}},
			do:   func(t *testing.T, s store) { s.remove(t, "SMALL/msgs") },
			kind: verify.Stream, path: "SMALL/msgs", what: "missing",
		},
		"a bit in an older block, though the machine went down": {
			last: verify.Last{Rebooted: true},
			do:   func(t *testing.T, s store) { s.flip(t, "BIG/msgs/1.blk", 2) },
			kind: verify.Block, path: "BIG/msgs/1.blk", what: "after it are good",
		},
		"a consumer that cannot be read": {
			do:   func(t *testing.T, s store) { s.write(t, "SMALL/obs/worker/meta.inf", []byte(`{"bits":"flipped"}`)) },
			kind: verify.Consumer, path: "SMALL/obs/worker", what: "made again",
		},
		"a stream that is gone": {
			last: verify.Last{Streams: []string{"BIG", "SMALL"}},
			do:   func(t *testing.T, s store) { s.remove(t, "SMALL") },
			kind: verify.Missing, what: "stream SMALL was there",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := written(t)
			tc.do(t, s)
			r, err := verify.Check(s.dir, tc.last)
			if err != nil {
				t.Fatal(err)
			}
			if !errors.Is(r.Err(), verify.ErrDamaged) || strings.Contains(r.Err().Error(), "\n") {
				t.Fatalf("got %v, want one line of ErrDamaged", r.Err())
			}
			if len(r.Damages) != 1 {
				t.Fatalf("damages %+v, want one", r.Damages)
			}
			d := r.Damages[0]
			if d.Kind != tc.kind || tc.path != "" && d.Path != s.path(tc.path) || !strings.Contains(d.What, tc.what) {
				t.Errorf("damage %+v; want kind %d, path …/%s, %q", d, tc.kind, tc.path, tc.what)
			}
		})
	}
}

// What a kill or a crash of the machine leaves is no damage.
func TestWhatIsNoDamage(t *testing.T) {
	for name, tc := range map[string]struct {
		last verify.Last
		do   func(t *testing.T, s store)
		lost int
	}{
		"nothing at all": {last: verify.Last{Clean: true, Streams: []string{"BIG", "SMALL"}}, do: func(*testing.T, store) {}},
		"half a record at the end": {do: func(t *testing.T, s store) {
			s.grow(t, "SMALL/msgs/1.blk", s.content(t, "SMALL/msgs/1.blk")[:40])
		}},
		"zeros at the end": {do: func(t *testing.T, s store) { s.grow(t, "SMALL/msgs/1.blk", make([]byte, 9000)) }},
		"no index":         {do: func(t *testing.T, s store) { s.remove(t, "SMALL/msgs/index.db") }},
		"half an index": {last: verify.Last{Clean: true}, do: func(t *testing.T, s store) {
			s.cut(t, "BIG/msgs/index.db", 11)
		}},
		"a configuration one write ahead of its checksum": {do: func(t *testing.T, s store) {
			s.age(t, "SMALL/meta.sum")
			s.write(t, "SMALL/meta.inf", []byte(strings.Replace(string(s.content(t, "SMALL/meta.inf")), "small.*", "other.*", 1)))
		}},
		"a stream that is only begun": {do: func(t *testing.T, s store) {
			if err := os.MkdirAll(s.path("NEW/msgs"), 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		"a purge that was killed in between": {do: func(t *testing.T, s store) {
			s.remove(t, "SMALL/msgs/index.db")
			must(t, os.Mkdir(s.path("SMALL/__new_msgs__"), 0o700))
			s.copy(t, "SMALL/msgs/1.blk", "SMALL/__new_msgs__/1.blk")
			s.move(t, "SMALL/msgs", "SMALL/__msgs__")
		}},
		"a stream half deleted": {do: func(t *testing.T, s store) { s.move(t, "SMALL", ".SMALL") }},
		"a consumer half made":  {do: func(t *testing.T, s store) { s.remove(t, "SMALL/obs/worker/meta.inf") }},
		"a short end after the machine went down": {last: verify.Last{Rebooted: true}, lost: 1, do: func(t *testing.T, s store) {
			s.keep(t, "SMALL/msgs/1.blk", 2)
		}},
		"an older block with a short end after the machine went down": {last: verify.Last{Rebooted: true}, lost: 1, do: func(t *testing.T, s store) {
			s.cut(t, "BIG/msgs/1.blk", 100)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := written(t)
			tc.do(t, s)
			for range 2 { // the second look finds what the first one mended
				r, err := verify.Check(s.dir, tc.last)
				if err != nil || r.Err() != nil || len(r.Lost) != tc.lost {
					t.Fatalf("got %v, %v, lost %q", err, r.Err(), r.Lost)
				}
			}
			// The server agrees: both streams are there, unless one was deleted.
			s.opens(t, name != "a stream half deleted")
		})
	}
}

// TestTheServerWouldLoseIt shows why this is looked at before the server opens its files: it
// starts as if nothing was wrong, and has less.
func TestTheServerWouldLoseIt(t *testing.T) {
	s := written(t)
	s.flip(t, "SMALL/msgs/1.blk", 2)
	s.remove(t, "SMALL/msgs/index.db") // as after a kill some minutes into the run
	if got := s.count(t, "SMALL"); got >= smallMsgs {
		t.Errorf("the server finds %d messages: it has become careful, and this package may be too much", got)
	}
}

// TestAStreamIsThereOrNot: what one run notes of its streams is what the next one looks for.
func TestAStreamIsThereOrNot(t *testing.T) {
	s := written(t)
	must(t, os.MkdirAll(s.path("BEGUN/msgs"), 0o700))
	names, err := verify.Streams(s.dir)
	must(t, err)
	r, err := verify.Check(s.dir, verify.Last{Streams: names})
	if err != nil || r.Err() != nil || !slices.Equal(r.Streams, names) || len(names) != 2 {
		t.Errorf("noted %q, found %q: %v, %v", names, r.Streams, err, r.Err())
	}
}

func TestNothingThereIsFine(t *testing.T) {
	r, err := verify.Check(filepath.Join(t.TempDir(), "not there"), verify.Last{})
	if err != nil || r.Err() != nil || len(r.Streams) != 0 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestDirectoriesMayHaveStrangeNames(t *testing.T) {
	s := written(t)
	s.flip(t, "SMALL/msgs/1.blk", 2)
	odd := filepath.Join(t.TempDir(), "[a]*?")
	if err := os.Rename(s.dir, odd); err != nil {
		t.Fatal(err)
	}
	r, err := verify.Check(odd, verify.Last{})
	if err != nil || len(r.Streams) != 2 || len(r.Damages) != 1 {
		t.Errorf("got %+v, %v; want two streams, one of them damaged", r, err)
	}
}
