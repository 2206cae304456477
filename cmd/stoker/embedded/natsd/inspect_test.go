package natsd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/cmd/stoker/embedded/natsd/verify"
	"stoker.dev/stoker/events"
)

// filled is a store with one stream of ten messages, left by a broker that ended well.
func filled(t *testing.T) (dir string) {
	t.Helper()
	dir, ctx := t.TempDir(), testContext(t)
	s := start(t, dir)
	js := adminJS(t, s)
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, Storage: jetstream.FileStorage}); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if _, err := js.Publish(ctx, "s.1", []byte("a message that must not be lost")); err != nil {
			t.Fatal(err)
		}
	}
	stop(t, s)
	return dir
}

// spoil changes a bit in the middle of the stream's block and returns its path.
func spoil(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(streamDir(dir), "msgs", "1.blk")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func streamDir(dir string) string { return StreamDir(dir, "S") }

func TestDamageIsRefusedBeforeAnythingIsTouched(t *testing.T) {
	dir := filled(t)
	path := spoil(t, dir)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // it does not go away by trying again
		_, err = Start(t.Context(), testOptions(t, dir))
		if !errors.Is(err, verify.ErrDamaged) || strings.Contains(err.Error(), "\n") {
			t.Fatalf("got %v, want one line of ErrDamaged", err)
		}
		for _, want := range []string{path, "stoker restore", "--accept-loss"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the block was changed: %v", err)
	}
}

func TestAnAcceptedLossIsKeptAside(t *testing.T) {
	for name, tc := range map[string]struct {
		do   func(t *testing.T, dir string)
		kept string // below damaged/<time>
		left int    // messages
	}{
		"a block": {func(t *testing.T, dir string) { spoil(t, dir) }, "S.msgs/1.blk", 9},
		"the end": {func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(streamDir(dir), "msgs", "1.blk"), 3*64); err != nil {
				t.Fatal(err)
			}
		}, "S.msgs/1.blk", 3},
		"a stream": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(streamDir(dir), "meta.inf")); err != nil {
				t.Fatal(err)
			}
		}, "S/msgs/1.blk", -1},
		"its messages": {func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(streamDir(dir), "msgs")); err != nil {
				t.Fatal(err)
			}
		}, "S/meta.inf", -1},
		"all of it": {func(t *testing.T, dir string) {
			if err := os.RemoveAll(streamDir(dir)); err != nil {
				t.Fatal(err)
			}
		}, "", -1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filled(t)
			tc.do(t, dir)
			o := testOptions(t, dir)
			o.AcceptLoss = true
			s, err := Start(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			kept, _ := filepath.Glob(filepath.Join(dir, damagedDir, "*", tc.kept))
			if tc.kept != "" && len(kept) != 1 {
				t.Errorf("kept %v, want one %s", kept, tc.kept)
			}
			stream, err := adminJS(t, s).Stream(testContext(t), "S")
			switch {
			case tc.left < 0 && !errors.Is(err, jetstream.ErrStreamNotFound):
				t.Errorf("got %v, want no stream", err)
			case tc.left >= 0 && (err != nil || int(stream.CachedInfo().State.Msgs) != tc.left):
				t.Errorf("got %v, %+v; want %d messages", err, stream, tc.left)
			}
			if tc.left >= 0 && stream.CachedInfo().State.LastSeq != 10 {
				t.Errorf("the last number is %d, want 10: a number must not be given twice", stream.CachedInfo().State.LastSeq)
			}
			stop(t, s)
			start(t, dir) // what was accepted is not asked about again
		})
	}
}

// TestABlockTornByAPowerCutIsMended: its end was not synced, the next block was. The start goes on
// by itself, with every message that is whole.
func TestABlockTornByAPowerCutIsMended(t *testing.T) {
	dir, ctx := t.TempDir(), testContext(t)
	s := start(t, dir)
	js := adminJS(t, s)
	cfg := jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, Retention: jetstream.WorkQueuePolicy}
	if _, err := js.CreateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	const large = 3 << 20 // one to a block of 4 MiB
	for range 3 {
		if _, err := js.Publish(ctx, "s.1", make([]byte, large)); err != nil {
			t.Fatal(err)
		}
	}
	stop(t, s)
	if err := os.Truncate(filepath.Join(streamDir(dir), "msgs", "1.blk"), large); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), testOptions(t, dir)); !errors.Is(err, verify.ErrDamaged) {
		t.Fatalf("got %v, want damage: nothing but a power cut tears a block", err)
	}
	if err := (lastRun{Boot: "another", Streams: []string{"S"}}).write(dir); err != nil {
		t.Fatal(err)
	}
	stream, err := adminJS(t, start(t, dir)).Stream(ctx, "S")
	if err != nil {
		t.Fatal(err)
	}
	if state := stream.CachedInfo().State; state.Msgs != 2 || state.LastSeq != 3 {
		t.Errorf("%+v, want the two messages that are whole", state)
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, damagedDir, "*", "S.msgs", "1.blk")); len(kept) != 1 {
		t.Errorf("kept %v, want the torn block", kept)
	}
}

func TestTheNextRunKnowsHowTheLastOneEnded(t *testing.T) {
	dir := filled(t)
	if l := readLastRun(dir); !l.Clean || l.Boot == "" || !slices.Equal(l.Streams, []string{"S"}) {
		t.Errorf("after a stop: %+v", l)
	}
	s := start(t, dir)
	if l := readLastRun(dir); l.Clean || !slices.Equal(l.Streams, []string{"S"}) {
		t.Errorf("while it runs: %+v", l)
	}
	if err := s.ns.DisableJetStream(); err != nil {
		t.Fatal(err)
	}
	stop(t, s)
	if l := readLastRun(dir); l.Clean {
		t.Errorf("after JetStream gave up: %+v", l)
	}
	if l := (lastRun{Boot: "another", Streams: []string{"S"}}).last(); !l.Rebooted {
		t.Errorf("after a power cut: %+v", l)
	}
	if l := (lastRun{Boot: "another", Clean: true}).last(); l.Rebooted {
		t.Errorf("after a restart in good order: %+v", l)
	}
}

// TestOnlyThePlatformsOwnStreamsMustBeThere: an admin's own stream may be deleted, and the broker
// be killed before it could note that.
func TestOnlyThePlatformsOwnStreamsMustBeThere(t *testing.T) {
	for name, missed := range map[string]bool{events.StreamResults: true, events.ShardStream(3): true, BucketStream(events.BucketLedger): true, "SCRATCH": false} {
		dir := t.TempDir()
		if err := (lastRun{Boot: bootID(), Streams: []string{name}}).write(dir); err != nil {
			t.Fatal(err)
		}
		o := testOptions(t, dir)
		if err := inspect(o); errors.Is(err, verify.ErrDamaged) != missed {
			t.Errorf("without stream %s: %v", name, err)
		}
	}
}

func TestAGarbledLastRunIsNoObstacle(t *testing.T) {
	dir := filled(t)
	if err := os.WriteFile(filepath.Join(dir, lastRunFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, dir)
}

func TestTheSyncIntervalReachesTheServer(t *testing.T) {
	for interval, always := range map[time.Duration]bool{0: true, 7 * time.Second: false} {
		o := testOptions(t, t.TempDir())
		o.SyncInterval = interval
		s, err := Start(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stop(t, s) })
		if c := s.server().JetStreamConfig(); c.SyncAlways != always || (!always && c.SyncInterval != interval) {
			t.Errorf("interval %s: the server has %+v", interval, c)
		}
	}
}

func TestSyncReachesEveryFileOfTheStream(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "[a]*?") // a path, and no pattern
	s, ctx := start(t, dir), testContext(t)
	js := adminJS(t, s)
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, "s.1", []byte("x")); err != nil {
		t.Fatal(err)
	}
	var synced []string
	s.fsync = func(path string) error {
		rel, err := filepath.Rel(filepath.Dir(streamDir(dir)), path)
		synced = append(synced, rel)
		return errors.Join(err, fsync(path))
	}
	if err := s.Sync("S"); err != nil {
		t.Fatal(err)
	}
	if want := []string{"S/msgs/1.blk", "S/meta.inf", "S/meta.sum", "S/msgs", "S", "."}; !slices.Equal(synced, want) {
		t.Errorf("synced %v, want %v", synced, want)
	}
	if err := s.Sync("OTHER"); err == nil {
		t.Error("a stream that is not there was synced")
	}
	failing := errors.New("input/output error")
	s.fsync = func(string) error { return failing }
	if err := s.Sync("S"); !errors.Is(err, failing) {
		t.Errorf("got %v, want the disk's error", err)
	}
	s.o.SyncInterval = 0
	if err := s.Sync("S"); err != nil {
		t.Errorf("the server syncs by itself: %v", err)
	}
}

// BenchmarkManifest is what a manifest costs, stored by JetStream alone and synced as well.
func BenchmarkManifest(b *testing.B) {
	for name, sync := range map[string]bool{"stored": false, "synced": true} {
		b.Run(name, func(b *testing.B) {
			s, err := Start(b.Context(), Options{StoreDir: b.TempDir(), Port: -1, Keeper: testKeeper(b), AgentKey: testKey, Logger: slog.New(slog.DiscardHandler), SyncInterval: DefaultSyncInterval})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Shutdown(context.Background()) //nolint:errcheck // 2026-11-27: the directory goes with it
			nc, err := s.Connect()
			if err != nil {
				b.Fatal(err)
			}
			defer nc.Close()
			js, err := jetstream.New(nc)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, MaxMsgsPerSubject: 5}); err != nil {
				b.Fatal(err)
			}
			manifest, err := json.Marshal(map[string]string{"manifest": strings.Repeat("x", 1000)})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := js.Publish(b.Context(), "s.1", manifest); err != nil {
					b.Fatal(err)
				}
				if !sync {
					continue
				}
				if err := s.Sync("S"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
