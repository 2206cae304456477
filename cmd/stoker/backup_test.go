package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"stoker.dev/stoker/cmd/stoker/backup"
	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/events"
)

// stopped is a data directory that a platform has left in order.
func stopped(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	d, err := datadir.Open(dir)
	must(t, err)
	_, err = d.Keys()
	must(t, errors.Join(err, d.Close()))
	bus, done, err := backup.Offline(t.Context(), dir, slog.New(slog.DiscardHandler))
	must(t, err)
	must(t, bus.Ensure(t.Context(), events.StreamOptions{}))
	must(t, done())
	return dir
}

func TestBackupAndRestore(t *testing.T) {
	dir := stopped(t)
	file, again := filepath.Join(t.TempDir(), "b.tar.gz"), filepath.Join(t.TempDir(), "again")
	kept := stoker(t, "", "backup", file, "--data-dir", dir)
	if kept.code != 0 {
		t.Fatalf("backup: %+v", kept)
	}
	wants(t, "backup", kept.out, "kept in "+file, "streams", "of 2026-11-23T12:00:00Z")
	wants(t, "progress", kept.err, "keeping STOKER_RESULTS")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has %v, %v; want mode 0600", info, err)
	}
	if twice := stoker(t, "", "backup", file, "--data-dir", dir); twice.code != exitFailed {
		t.Errorf("over a file: %+v", twice)
	} else {
		wants(t, "over a file", twice.err, file, "--force")
	}
	forced := stoker(t, "", "backup", file, "--force", "-o", "json", "--data-dir", dir)
	var s backup.Summary
	if err := json.Unmarshal([]byte(forced.out), &s); err != nil || s.Streams == 0 || s.Stoker != version() {
		t.Errorf("forced: %v, %+v", err, forced)
	}

	restored := stoker(t, "", "restore", file, "--data-dir", again)
	if restored.code != 0 {
		t.Fatalf("restore: %+v", restored)
	}
	wants(t, "restore", restored.out, "restored into "+again, "next: stoker --data-dir "+again+" up")
	if over := stoker(t, "", "restore", file, "--data-dir", again); over.code != exitFailed {
		t.Errorf("into a full directory: %+v", over)
	} else {
		wants(t, "into a full directory", over.err, "not empty", again, "--data-dir")
	}
}

func TestABackupThroughAPipe(t *testing.T) {
	dir, again := stopped(t), filepath.Join(t.TempDir(), "again")
	kept := stoker(t, "", "backup", "-", "--data-dir", dir)
	if kept.code != 0 {
		t.Fatalf("backup: code %d, %s", kept.code, kept.err)
	}
	wants(t, "what is said beside it", kept.err, "kept: ")
	if got := stoker(t, kept.out, "restore", "-", "--data-dir", again); got.code != 0 {
		t.Errorf("restore: %+v", got)
	}
	if got := stoker(t, "", "backup", "-", "-o", "json", "--data-dir", dir); got.code != exitUsage {
		t.Errorf("two things to standard output: %+v", got)
	}
}

func TestBackupSaysWhatIsNotThere(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for name, got := range map[string]said{
		none:             stoker(t, "", "backup", filepath.Join(t.TempDir(), "b"), "--data-dir", none),
		"no-such-file":   stoker(t, "", "restore", "no-such-file", "--data-dir", none),
		"not a backup":   stoker(t, "hello", "restore", "-", "--data-dir", none),
		"standard input": stoker(t, "", "restore", "--data-dir", none),
	} {
		if got.code == 0 || got.out != "" {
			t.Errorf("%s: %+v", name, got)
		}
		if name != "standard input" {
			wants(t, name, got.err, name)
		}
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("a directory was made")
	}
}
