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
	killed, exited := unix.WaitStatus(unix.SIGKILL), unix.WaitStatus(3<<8)
	for _, c := range []struct {
		name    string
		status  unix.WaitStatus
		looks   int // after the kernel killed something
		killing bool
		want    bool
	}{
		{"killed while the kernel killed", killed, 0, false, true},
		{"gone seconds later", killed, oomLooks - 2, false, true},
		{"killed by somebody, long after the kernel killed another", killed, oomLooks, false, false},
		{"killed by us", killed, 0, true, false},
		{"exited", exited, 0, false, false},
	} {
		var kills uint64 = 5 // before it started
		s := &Server{oom: newOOMWatch(func() uint64 { return kills })}
		for range 3 * oomLooks {
			s.oom.look()
		}
		kills++
		for range c.looks {
			s.oom.look()
		}
		s.killing.Store(c.killing)
		e := s.exitOf(c.status)
		if e.OutOfMemory != c.want || strings.Contains(e.String(), "out of memory") != c.want {
			t.Errorf("%s: %+v %q, want out of memory: %v", c.name, e, e, c.want)
		}
	}
}

// TestKillsBeforeTheStartAreNoReason: the machine's count is of all times.
func TestKillsBeforeTheStartAreNoReason(t *testing.T) {
	s := &Server{oom: newOOMWatch(func() uint64 { return 7 })}
	if e := s.exitOf(unix.WaitStatus(unix.SIGKILL)); e.OutOfMemory {
		t.Errorf("%+v", e)
	}
}
