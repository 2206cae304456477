package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker/access"
	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/cmd/stoker/embedded/natsd"
	"stoker.dev/stoker/cmd/stoker/embedded/natsd/verify"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

var (
	key   = functions.Key{Namespace: "default", Name: "kept"}
	quiet = slog.New(slog.DiscardHandler)
)

const shard = 4

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// platform is a data directory with a broker that runs on it, as far as a backup can tell.
func platform(t *testing.T) (dir string, bus *events.Bus) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	d, err := datadir.Open(dir)
	must(t, err)
	_, err = d.Keys()
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(dir, "secrets", "hub"), 0o700))
	must(t, os.WriteFile(d.Users(), []byte("users: []\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "secrets", "hub", "token"), []byte("s3cret"), 0o600))
	bus, stop, err := broker(t.Context(), d.NATS(), quiet)
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(stop(), d.Close())) })
	must(t, bus.Ensure(t.Context(), events.StreamOptions{}))
	must(t, bus.Deploy(t.Context(), key, shard))
	fns, err := events.OpenStore[events.FunctionRecord](t.Context(), bus, events.BucketFunctions)
	must(t, err)
	_, err = fns.Put(t.Context(), events.StateKey(key), events.FunctionRecord{Revision: "r1", Shard: shard}, 0)
	must(t, err)
	return dir, bus
}

func publish1(ctx context.Context, bus *events.Bus, id string) error {
	_, err := bus.Publish(ctx, events.Event{ID: id, Source: "test", Type: "t", Data: []byte(id)}, key, functions.Standard)
	return err
}

func create(t *testing.T, dir string, bus *events.Bus) []byte {
	t.Helper()
	var buf bytes.Buffer
	s, err := Create(t.Context(), &buf, Source{Dir: dir, Bus: bus, Version: "v1", Now: created, Spool: t.TempDir()})
	must(t, err)
	if s.Streams < 7 || s.Files < 2*s.Streams+4 || s.Bytes == 0 {
		t.Errorf("summary %+v", s)
	}
	return buf.Bytes()
}

// restored makes a directory of a backup and opens it.
func restored(t *testing.T, data []byte) (dir string, bus *events.Bus) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "new", "data")
	_, err := Restore(t.Context(), bytes.NewReader(data), RestoreOptions{Dir: dir, Log: quiet})
	must(t, err)
	bus, done, err := Offline(t.Context(), dir, quiet)
	must(t, err)
	t.Cleanup(func() { must(t, done()) })
	return dir, bus
}

func TestWhatWasKeptComesBack(t *testing.T) {
	dir, bus := platform(t)
	for i := range 20 {
		must(t, publish1(t.Context(), bus, fmt.Sprint("r", i)))
	}
	rec := events.Record{ID: "done", Function: key, Source: "test", Status: events.StatusOK, Body: []byte("answer")}
	_, err := bus.WriteRecord(t.Context(), rec, time.Hour)
	must(t, err)

	again, other := restored(t, create(t, dir, bus))
	counts, err := other.PendingOf(t.Context(), key, shard)
	must(t, err)
	if counts[functions.Standard] != 20 {
		t.Errorf("%v wait, want 20", counts)
	}
	got, err := other.GetRecord(t.Context(), key, "done", "")
	must(t, err)
	if string(got.Body) != "answer" {
		t.Errorf("record %+v", got)
	}
	fns, err := events.OpenStore[events.FunctionRecord](t.Context(), other, events.BucketFunctions)
	must(t, err)
	if fn, _, err := fns.Get(t.Context(), events.StateKey(key)); err != nil || fn.Shard != shard {
		t.Errorf("function %+v, %v", fn, err)
	}
	for _, file := range []string{"keys/admin.token", "keys/hmac.key", "secrets/hub/token", "users.yaml"} {
		was, err := os.ReadFile(filepath.Join(dir, file))
		must(t, err)
		if is, err := os.ReadFile(filepath.Join(again, file)); err != nil || !bytes.Equal(is, was) {
			t.Errorf("%s is %q, %v; want %q", file, is, err, was)
		}
	}
	must(t, publish1(t.Context(), other, "new")) // its subjects are there
}

// TestLinksAreFollowed: a secret may be mounted as Kubernetes does, the users file lie elsewhere.
func TestLinksAreFollowed(t *testing.T) {
	dir, bus := platform(t)
	mounted, users := t.TempDir(), filepath.Join(t.TempDir(), "people.yaml")
	must(t, os.WriteFile(users, []byte("users: [] # elsewhere\n"), 0o600))
	must(t, os.Mkdir(filepath.Join(mounted, "..2026_11_27"), 0o700))
	must(t, os.WriteFile(filepath.Join(mounted, "..2026_11_27", "key"), []byte("l1nked"), 0o600))
	must(t, os.Symlink("..2026_11_27", filepath.Join(mounted, "..data")))
	must(t, os.Symlink(filepath.Join("..data", "key"), filepath.Join(mounted, "key")))
	must(t, os.Symlink(mounted, filepath.Join(dir, "secrets", "mounted")))

	var buf bytes.Buffer
	source := Source{Dir: dir, Users: users, Bus: bus, Version: "v1", Now: created, Spool: t.TempDir()}
	_, err := Create(t.Context(), &buf, source)
	must(t, err)
	again, _ := restored(t, buf.Bytes())
	for file, want := range map[string]string{"secrets/mounted/key": "l1nked", "secrets/hub/token": "s3cret", "users.yaml": "users: [] # elsewhere\n"} {
		if is, err := os.ReadFile(filepath.Join(again, file)); err != nil || string(is) != want {
			t.Errorf("%s is %q, %v; want %q", file, is, err, want)
		}
	}
	if entries, err := os.ReadDir(filepath.Join(again, "secrets", "mounted")); err != nil || len(entries) != 1 {
		t.Errorf("kept %v, %v; want the key alone", entries, err)
	}

	must(t, os.Symlink(filepath.Join(dir, "secrets"), filepath.Join(dir, "secrets", "round")))
	if _, err := Create(t.Context(), &bytes.Buffer{}, source); err == nil || !strings.Contains(err.Error(), "leads back") {
		t.Errorf("a link that leads back: %v", err)
	}
}

// TestABackupUnderLoad takes one while requests come, are done and leave, and holds what doc.go says: each of those
// accepted before waits or has its record, and no number is given twice.
func TestABackupUnderLoad(t *testing.T) {
	dir, bus := platform(t)
	const before = 100
	for i := range before {
		must(t, publish1(t.Context(), bus, fmt.Sprint("before", i)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	worked := make(chan int, 1)
	go func() { worked <- work(ctx, bus) }()
	data := create(t, dir, bus)
	cancel()
	t.Logf("%d requests done meanwhile", <-worked)

	_, other := restored(t, data)
	for i := range before {
		id := fmt.Sprint("before", i)
		_, err := other.GetRecord(t.Context(), key, id, "")
		if errors.Is(err, events.ErrNotFound) {
			var r events.Request
			if r, err = other.Peek(t.Context(), shard, key, functions.Standard, uint64(i+1)); err == nil && r.Event.ID != id {
				err = fmt.Errorf("number %d is %s now", i+1, r.Event.ID)
			}
		}
		if err != nil {
			t.Errorf("%s has no record and does not wait: %v", id, err)
		}
	}
	last, err := bus.LastSequence(t.Context(), events.ShardStream(shard))
	must(t, err)
	atBackup, err := other.LastSequence(t.Context(), events.ShardStream(shard))
	must(t, err)
	if atBackup < before || atBackup > last {
		t.Errorf("the restored stream goes on at %d, want %d to %d", atBackup, before, last)
	}
}

// work does what agents do, one request after the other: record, then removal; and publishes new ones.
func work(ctx context.Context, bus *events.Bus) int {
	for done := 0; ; done++ {
		seq := uint64(done + 1)
		r, err := bus.Peek(ctx, shard, key, functions.Standard, seq)
		if err != nil {
			return done
		}
		rec := events.Record{ID: r.Event.ID, Function: key, Source: r.Event.Source, Status: events.StatusOK}
		if _, err := bus.WriteRecord(ctx, rec, time.Hour); err != nil {
			return done
		}
		if bus.Remove(ctx, shard, seq) != nil || publish1(ctx, bus, fmt.Sprint("during", done)) != nil {
			return done
		}
	}
}

// TestNumbersAreNotGivenAgain restores a backup whose queue had given more numbers by its end than its snapshot knows.
func TestNumbersAreNotGivenAgain(t *testing.T) {
	dir, bus := platform(t)
	must(t, publish1(t.Context(), bus, "one"))
	s := Source{Dir: dir, Bus: bus, Version: "v1", Now: created, Spool: t.TempDir()}
	s.Progress = func(stream string) { // after the queue, before the records
		if stream == events.StreamResults {
			must(t, publish1(t.Context(), bus, "two"))
			must(t, publish1(t.Context(), bus, "three"))
		}
	}
	var buf bytes.Buffer
	_, err := Create(t.Context(), &buf, s)
	must(t, err)
	_, other := restored(t, buf.Bytes())
	must(t, publish1(t.Context(), other, "four"))
	if seq, err := other.LastSequence(t.Context(), events.ShardStream(shard)); err != nil || seq != 4 {
		t.Errorf("the next request has number %d, %v; want 4", seq, err)
	}
}

func TestARestoreIsWholeOrNotAtAll(t *testing.T) {
	dir, bus := platform(t)
	data := create(t, dir, bus)
	parent := t.TempDir()
	full := filepath.Join(parent, "full")
	must(t, os.MkdirAll(full, 0o700))
	must(t, os.WriteFile(filepath.Join(full, "note"), []byte("mine"), 0o600))
	for name, tc := range map[string]struct {
		dir  string
		data []byte
		want error
	}{
		"a directory in use":   {full, data, ErrNotEmpty},
		"the platform's own":   {dir, data, ErrNotEmpty},
		"half a backup":        {filepath.Join(parent, "half"), data[:len(data)/2], ErrNoBackup},
		"a backup less a byte": {filepath.Join(parent, "less"), data[:len(data)-1], ErrNoBackup},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Restore(t.Context(), bytes.NewReader(tc.data), RestoreOptions{Dir: tc.dir, Log: quiet}); !errors.Is(err, tc.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line of %v", err, tc.want)
			}
		})
	}
	entries, err := os.ReadDir(parent)
	must(t, err)
	if len(entries) != 1 {
		t.Errorf("left over: %v", entries)
	}
	empty := filepath.Join(parent, "empty")
	must(t, os.Mkdir(empty, 0o755))
	if _, err := Restore(t.Context(), bytes.NewReader(data), RestoreOptions{Dir: empty, Log: quiet}); err != nil {
		t.Errorf("an empty directory: %v", err)
	}
}

func TestNothingToBackUpSaysSo(t *testing.T) {
	if _, _, err := Offline(t.Context(), t.TempDir(), quiet); !errors.Is(err, ErrNothing) {
		t.Errorf("no data directory: %v", err)
	}
	dir, _ := platform(t)
	if _, _, err := Offline(t.Context(), dir, quiet); !errors.Is(err, datadir.ErrHeld) {
		t.Errorf("one in use: %v", err)
	}
	if _, err := Online(datadir.Server{NATS: "nats://elsewhere:4222"}, quiet); !errors.Is(err, ErrNothing) || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("an external broker: %v", err)
	}
	fresh := filepath.Join(t.TempDir(), "data")
	d, err := datadir.Open(fresh)
	must(t, err)
	must(t, d.Close())
	bus, done, err := Offline(t.Context(), fresh, quiet)
	must(t, err)
	defer func() { must(t, done()) }()
	if _, err := Create(t.Context(), &bytes.Buffer{}, Source{Dir: fresh, Bus: bus, Spool: t.TempDir()}); !errors.Is(err, ErrNothing) {
		t.Errorf("a directory without streams: %v", err)
	}
}

func TestDamageIsNotBackedUp(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	source, bus := platform(t)
	must(t, publish1(t.Context(), bus, "x"))
	_, err := Restore(t.Context(), bytes.NewReader(create(t, source, bus)), RestoreOptions{Dir: dir, Log: quiet})
	must(t, err)
	must(t, os.RemoveAll(natsd.StreamDir(filepath.Join(dir, "nats"), events.StreamResults)))
	if _, _, err := Offline(t.Context(), dir, quiet); !errors.Is(err, verify.ErrDamaged) {
		t.Errorf("got %v, want ErrDamaged", err)
	}
}

// owners lets in whoever holds the platform's token.
type owners struct{ nobody }

func (owners) ByToken(token string) (access.Principal, bool) {
	return access.Platform(), token == "the token"
}

// TestABackupIsReadWhereNoUserListens: a user may be called as they like, "backup" included, and
// listens below their own name.
func TestABackupIsReadWhereNoUserListens(t *testing.T) {
	s, err := natsd.Start(t.Context(), natsd.Options{
		StoreDir: t.TempDir(), Port: -1, Keeper: owners{}, AgentKey: []byte("key"), Logger: quiet, SyncInterval: natsd.DefaultSyncInterval,
	})
	must(t, err)
	t.Cleanup(func() { must(t, s.Shutdown(context.WithoutCancel(t.Context()))) })
	bus, err := Online(datadir.Server{EmbeddedNATS: true, NATS: s.URL(), AdminToken: "the token"}, quiet)
	must(t, err)
	defer bus.Close()
	if inbox := bus.Conn().NewInbox(); strings.HasPrefix(inbox, "_R.user.") || !strings.HasPrefix(inbox, "_R.owner.") {
		t.Errorf("answers arrive at %s", inbox)
	}
	must(t, bus.Ensure(t.Context(), events.StreamOptions{})) // which takes answers
}
