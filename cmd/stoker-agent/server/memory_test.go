package server

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOOMKillsIn(t *testing.T) {
	for text, want := range map[string]uint64{
		"pgfault 12\noom_kill 7\nnuma_hit 3\n": 7, "oom_kill_other 9\n": 0, "": 0, "oom_kill x\n": 0,
	} {
		if got := oomKillsIn([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// Only a kill that nobody here asked for, while the kernel was killing, is put down to memory.
func TestWhichKillsAreForMemory(t *testing.T) {
	before := oomKills()
	killed, exited := unix.WaitStatus(unix.SIGKILL), unix.WaitStatus(3<<8)
	for _, c := range []struct {
		name    string
		status  unix.WaitStatus
		before  uint64
		killing bool
		want    bool
	}{
		{"killed while the kernel killed", killed, before - 1, false, true},
		{"killed by somebody", killed, before, false, false},
		{"killed by us", killed, before - 1, true, false},
		{"exited", exited, before - 1, false, false},
	} {
		if before == 0 && c.want {
			continue // nothing was ever killed on this machine: there is no earlier count
		}
		s := &Server{oomBefore: c.before}
		s.killing.Store(c.killing)
		e := s.exitOf(c.status)
		if e.OutOfMemory != c.want || strings.Contains(e.String(), "out of memory") != c.want {
			t.Errorf("%s: %+v %q, want out of memory: %v", c.name, e, e, c.want)
		}
	}
}
