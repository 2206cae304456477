package rank_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stoker.dev/stoker/cmd/stoker-agent/rank"
	"stoker.dev/stoker/scale/job/contract"
)

// file is a progress file and the tail of it.
type file struct {
	t    *testing.T
	path string
	tail *rank.Tail
}

func newFile(t *testing.T) *file {
	path := filepath.Join(t.TempDir(), contract.ProgressFile)
	f := &file{t, path, rank.NewTail(path)}
	t.Cleanup(f.tail.Close)
	return f
}

func (f *file) append(text string) {
	f.t.Helper()
	out, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = out.WriteString(text)
		out.Close()
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// look expects lines.
func (f *file) look(want ...string) {
	f.t.Helper()
	var got []string
	if err := f.tail.Look(func(line []byte) { got = append(got, string(line)) }); err != nil {
		f.t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		f.t.Errorf("%d lines %.200q, want %d %.200q", len(got), got, len(want), want)
	}
}

func TestHalfALineWaits(t *testing.T) {
	f := newFile(t)
	f.look() // not there yet
	f.append("one\ntw")
	f.look("one")
	f.look()
	f.append("o\n\nfour\n")
	f.look("two", "", "four")
}

func TestALineThatIsTooLongIsOneEmptyLine(t *testing.T) {
	f := newFile(t)
	f.append(strings.Repeat("x", contract.MaxReport) + "\n" + strings.Repeat("y", contract.MaxReport))
	f.look(strings.Repeat("x", contract.MaxReport))
	for range 3 {
		f.append(strings.Repeat("y", contract.MaxReport))
		f.look()
	}
	f.append("\nnext\n")
	f.look("", "next")
}

func TestAFileThatIsCutOrReplacedIsReadOn(t *testing.T) {
	f := newFile(t)
	f.append("one\ntwo\nhal")
	f.look("one", "two")
	if err := os.Truncate(f.path, 0); err != nil {
		t.Fatal(err)
	}
	f.append("a\n")
	f.look("a")
	f.append("last of the old\n")
	if err := os.Rename(f.path, f.path+".1"); err != nil {
		t.Fatal(err)
	}
	f.append("first of the new\n")
	f.look("last of the old", "first of the new")
	if err := os.Remove(f.path); err != nil {
		t.Fatal(err)
	}
	f.look()
	f.append("another\n")
	f.look("another")
}

// TestGigabytesAreSkipped writes more than is read at a look: its end is read, the rest is one line that is no report.
func TestGigabytesAreSkipped(t *testing.T) {
	f := newFile(t)
	f.append("one\n")
	f.look("one")
	if err := os.Truncate(f.path, 3<<30); err != nil { // a hole
		t.Fatal(err)
	}
	f.append("\ncommitted\n")
	f.look("", "committed")
	f.append(strings.Repeat("z\n", 3<<20))
	lines := 0
	if err := f.tail.Look(func(line []byte) {
		if lines++; lines == 1 && len(line) > 0 {
			t.Errorf("a line that was begun elsewhere: %q", line)
		}
	}); err != nil || lines == 0 || lines > 1<<20 {
		t.Errorf("%d lines, %v", lines, err)
	}
}

func TestWhatIsNoFileIsNotOpened(t *testing.T) {
	f := newFile(t)
	if err := unix.Mkfifo(f.path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.tail.Look(func([]byte) {}); !errors.Is(err, rank.ErrNotRegular) {
		t.Errorf("a pipe: %v", err)
	}
	if _, err := rank.LastWords(f.path); !errors.Is(err, rank.ErrNotRegular) {
		t.Errorf("a pipe: %v", err)
	}
	if err := rank.AskToSave(f.path); err != nil { // there is something: asked already
		t.Error(err)
	}
	if err := os.Remove(f.path); err != nil {
		t.Fatal(err)
	}
	f.append("one\n")
	f.look("one")
}

func TestLastWordsAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), contract.ErrorFile)
	if words, err := rank.LastWords(path); err != nil || words != nil {
		t.Errorf("nothing there: %q, %v", words, err)
	}
	for _, n := range []int{0, 10, 256 << 10, 1 << 20} {
		if err := os.WriteFile(path, bytes.Repeat([]byte("x"), n), 0o600); err != nil {
			t.Fatal(err)
		}
		if words, err := rank.LastWords(path); err != nil || len(words) != min(n, 256<<10) {
			t.Errorf("%d of %d bytes, %v", len(words), n, err)
		}
	}
}

func TestAskingToSaveTwiceIsAskingOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), contract.SaveFile)
	for range 2 {
		if err := rank.AskToSave(path); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() != 0 {
			t.Errorf("%v, %v", info, err)
		}
	}
	if err := rank.AskToSave(filepath.Join(path, "below a file")); err == nil {
		t.Error("a directory that is not there is no error")
	}
}

// BenchmarkLook is a look at a file that has not grown, as most are.
func BenchmarkLook(b *testing.B) {
	path := filepath.Join(b.TempDir(), contract.ProgressFile)
	if err := os.WriteFile(path, fmt.Appendln(nil, "progress step=1"), 0o600); err != nil {
		b.Fatal(err)
	}
	tail := rank.NewTail(path)
	defer tail.Close()
	b.ReportAllocs()
	for b.Loop() {
		if err := tail.Look(func([]byte) {}); err != nil {
			b.Fatal(err)
		}
	}
}
