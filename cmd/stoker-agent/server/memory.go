package server

import (
	"bytes"
	"os"
	"strconv"
	"sync"
	"time"
)

// vmstat is where the kernel counts, machine-wide, what it killed for want of memory, whether the
// machine's ran out or a cgroup's. Whom it killed is in its log, which takes privileges to read.
const vmstat = "/proc/vmstat"

const (
	// oomEvery is how often the count is read, which takes some 30 µs.
	oomEvery = time.Second
	// oomLooks is how many counts are kept, and so the seconds in which a kill must lie to be put down
	// to memory. A process that is killed is gone once its memory and its GPU are given back, which
	// takes seconds where it had much; a kill before that was somebody else's.
	oomLooks = 10
)

// oomWatch remembers how many processes the kernel had killed for want of memory a short while ago.
type oomWatch struct {
	count func() uint64

	mu    sync.Mutex
	looks []uint64 // the oldest first
}

func newOOMWatch(count func() uint64) *oomWatch {
	return &oomWatch{count: count, looks: []uint64{count()}}
}

// run looks until done is closed.
func (w *oomWatch) run(done <-chan struct{}) {
	tick := time.NewTicker(oomEvery)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			w.look()
		}
	}
}

func (w *oomWatch) look() {
	n := w.count()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks = append(w.looks, n)
	w.looks = w.looks[max(len(w.looks)-oomLooks, 0):]
}

// killed tells whether the kernel killed anything for want of memory since the oldest look.
func (w *oomWatch) killed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count() > w.looks[0]
}

// oomKills is the kernel's count; 0 where the kernel (before 4.13) does not say.
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
