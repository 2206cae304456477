package server

import (
	"bytes"
	"os"
	"strconv"
)

// vmstat is where the kernel counts, machine-wide, what it killed for want of memory, whether the
// machine's ran out or a cgroup's.
const vmstat = "/proc/vmstat"

// oomKills is that count; 0 where the kernel (before 4.13) does not say.
func oomKills() uint64 {
	text, err := os.ReadFile(vmstat)
	if err != nil {
		return 0
	}
	return oomKillsIn(text)
}

func oomKillsIn(text []byte) uint64 {
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte("oom_kill ")); ok {
			n, _ := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 64)
			return n
		}
	}
	return 0
}
