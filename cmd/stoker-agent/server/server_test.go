package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

func TestEnvPassesOnNothingElse(t *testing.T) {
	c := events.AgentConfig{
		Key: functions.Key{Namespace: "default", Name: "f"}, Replica: "r1",
		Env: []string{"MODEL=a=b", "PORT=1", "PATH=/manifest", "CUDA_VISIBLE_DEVICES=0,1", "EMPTY="},
	}
	parent := []string{"PATH=/usr/bin", "HOME=/root", "LANG=C", "TMPDIR=/tmp", "STOKER_AGENT_CONFIG=/secret", "AWS_SECRET=x", "PATHOLOGICAL=y", "odd"}
	got := Env(c, parent, 8123)
	want := []string{"PATH=/manifest", "HOME=/root", "LANG=C", "TMPDIR=/tmp", "MODEL=a=b", "PORT=8123", "CUDA_VISIBLE_DEVICES=",
		"EMPTY=", "STOKER_REPLICA_ID=r1", "STOKER_FUNCTION=default/f"}
	if !slices.Equal(got, want) {
		t.Errorf("environment\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestEnvNamesTheReplicasGPUs(t *testing.T) {
	got := Env(events.AgentConfig{GPUs: []string{"GPU-a", "GPU-b"}}, nil, 1)
	if !slices.Contains(got, "CUDA_VISIBLE_DEVICES=GPU-a,GPU-b") {
		t.Errorf("environment %q", got)
	}
}

func TestTailKeepsTheLastLines(t *testing.T) {
	last := &tail{}
	for i := range 3 * TailLines {
		fmt.Fprintf(last, "line %d\n", i)
	}
	fmt.Fprintf(last, "%s\r\nunfinished", strings.Repeat("x", 10*TailLineBytes))
	lines := strings.Split(last.String(), "\n")
	if len(lines) != TailLines+1 || lines[len(lines)-1] != "unfinished" || len(lines[len(lines)-2]) != TailLineBytes {
		t.Errorf("%d lines, the last of %d and %d bytes", len(lines), len(lines[len(lines)-2]), len(lines[len(lines)-1]))
	}
	if want := fmt.Sprintf("line %d", 2*TailLines+1); lines[0] != want {
		t.Errorf("first line %q, want %q", lines[0], want)
	}
}

func TestTailIsTextWhateverIsWritten(t *testing.T) {
	last := &tail{}
	for _, part := range []string{"a", "b\xff", "\n", "\n\n", "c"} {
		if n, err := last.Write([]byte(part)); err != nil || n != len(part) {
			t.Fatal(n, err)
		}
	}
	if got := last.String(); got != "ab�\n\n\nc" {
		t.Errorf("tail %q", got)
	}
}
