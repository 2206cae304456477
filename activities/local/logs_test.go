package local

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"gopkg.in/natefinch/lumberjack.v2"
)

// TestFollowingSurvivesRotation writes through the rotation the agent uses, while reading.
func TestFollowingSurvivesRotation(t *testing.T) {
	dir := t.TempDir()
	w := &lumberjack.Logger{Filename: filepath.Join(dir, serverLog), MaxSize: 1} // MB
	const lines = 30_000
	pad := strings.Repeat("x", 100) // three megabytes in all
	var over atomic.Bool
	written := make(chan error, 1)
	go func() {
		defer over.Store(true)
		for i := range lines {
			if _, err := fmt.Fprintf(w, "%d %s\n", i, pad); err != nil {
				written <- err
				return
			}
		}
		written <- w.Close()
	}()
	f := &logReader{ctx: t.Context(), dir: dir, name: serverLog, over: over.Load}
	if err := f.open(0); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for i := range lines {
		if want := fmt.Sprintf("%d %s", i, pad); !s.Scan() || s.Text() != want {
			t.Fatalf("line %d is %.20q, %v", i, s.Text(), s.Err())
		}
	}
	if s.Scan() {
		t.Errorf("more than was written: %.20q", s.Text())
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	if n := len(logFiles(dir, serverLog)); n < 3 {
		t.Errorf("%d files: nothing was rotated, so this test shows nothing", n)
	}
	tail := &logReader{ctx: t.Context(), dir: dir, name: serverLog}
	if err := tail.open(lines - 10); err != nil { // begins in the oldest file
		t.Fatal(err)
	}
	defer tail.Close()
	s = bufio.NewScanner(tail)
	if !s.Scan() || !strings.HasPrefix(s.Text(), "10 ") {
		t.Errorf("the tail begins with %.20q", s.Text())
	}
}

func TestTailOffset(t *testing.T) {
	long := strings.Repeat("y", 2*tailBlock)
	tests := []struct {
		text   string
		n      int
		offset int64
		lines  int
	}{
		{"", 3, 0, 0},
		{"\n", 3, 0, 1},
		{"a\nb\nc\n", 1, 4, 1},
		{"a\nb\nc", 1, 4, 1},
		{"a\nb\nc\n", 2, 2, 2},
		{"a\nb\nc\n", 3, 0, 3},
		{"a\nb\nc\n", 9, 0, 3},
		{"a\n\n\n", 2, 2, 2},
		{long + "\n" + long + "\n", 1, int64(len(long)) + 1, 1},
		{long + "\n" + long, 2, 0, 2},
	}
	for i, tt := range tests {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		offset, lines, err := tailOffset(path, tt.n)
		if err != nil || offset != tt.offset || lines != tt.lines {
			t.Errorf("case %d, last %d: offset %d, %d lines, %v; want %d, %d", i, tt.n, offset, lines, err, tt.offset, tt.lines)
		}
	}
}

func TestTheQuotedEndIsShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for _, text := range []string{strings.Repeat("line\n", 1000), strings.Repeat("z", maxTail+100), "\xff\xfe\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got := lastLines(path)
		if len(got) == 0 || len(got) > endBytes || strings.Count(got, "\n") >= endLines {
			t.Errorf("%d bytes, %d line ends quoted of %d bytes", len(got), strings.Count(got, "\n"), len(text))
		}
	}
	if got := lastLines(path + "-none"); got != "" {
		t.Errorf("quoted %q of no file", got)
	}
}
