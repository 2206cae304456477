package chaos

import (
	"bytes"
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/e2e/history"
)

const (
	// lookEvery is how often known processes are asked whether they live: one poll(2) for all of them.
	lookEvery = 50 * time.Millisecond
	// scanEach is after how many of these /proc is read for new ones, which costs some milliseconds.
	scanEach = 4
)

// witness knows from when to when each process of a replica was alive, without asking the platform. It holds every
// process by a pidfd, so that a number that comes round again is not taken for the process it meant before.
type witness struct {
	p *harness.Platform
	b *book

	mu     sync.Mutex
	seen   map[int]*seen // by process ID
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// seen is one process that lives, as far as is known.
type seen struct {
	record history.Record
	fd     int
}

func startWitness(p *harness.Platform, b *book) *witness {
	ctx, cancel := context.WithCancel(context.Background())
	w := &witness{p: p, b: b, seen: map[int]*seen{}, cancel: cancel}
	w.wg.Go(func() { w.run(ctx) })
	return w
}

// stop notes those who still live as alive until now.
func (w *witness) stop() {
	w.cancel()
	w.wg.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.look()
	for pid := range w.seen {
		w.forget(pid)
	}
}

func (w *witness) run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		w.mu.Lock()
		if n%scanEach == 0 {
			w.scan()
		}
		w.look()
		w.mu.Unlock()
	}
}

// scan finds new processes.
func (w *witness) scan() {
	for _, x := range w.p.Processes() {
		if w.seen[x.PID] != nil || x.Replica == "" {
			continue
		}
		fd, err := unix.PidfdOpen(x.PID, 0)
		if err != nil {
			continue // gone meanwhile
		}
		w.seen[x.PID] = &seen{fd: fd, record: history.Record{Kind: history.Process, Replica: x.Replica, Program: program(x), PID: x.PID}}
	}
}

// program tells an agent, which leads its session, from a child of it that has not become its own program yet, and a
// model server from what that leaves behind.
func program(x harness.Process) string {
	sid, err := unix.Getsid(x.PID)
	switch {
	case err != nil:
		return history.Other
	case x.Name == harness.Agent && sid == x.PID:
		return history.Agent
	case x.Name == harness.ModelServer && !leftBehind(x.PID):
		return history.Server
	default:
		return history.Other
	}
}

func leftBehind(pid int) bool {
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	return err != nil || bytes.Contains(line, []byte("\x00-inherited\x00"))
}

// look asks who lives.
func (w *witness) look() {
	pids, polled := make([]int, 0, len(w.seen)), make([]unix.PollFd, 0, len(w.seen))
	for pid, s := range w.seen {
		pids, polled = append(pids, pid), append(polled, unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN})
	}
	before := time.Now()
	if _, err := unix.Poll(polled, 0); err != nil {
		return // interrupted: the next look says
	}
	for i, pid := range pids {
		s := w.seen[pid]
		if polled[i].Revents != 0 {
			w.forget(pid)
			continue
		}
		if s.record.At.IsZero() {
			s.record.At = before
		}
		s.record.Until = before
	}
}

// forget notes the life of a process that has ended; one that was never seen alive tells nothing.
func (w *witness) forget(pid int) {
	s := w.seen[pid]
	unix.Close(s.fd)
	delete(w.seen, pid)
	if !s.record.At.IsZero() {
		w.b.note(s.record)
	}
}

// living lists the processes of a program, in an order that does not depend on their numbers.
func (w *witness) living(program string) []history.Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.scan()
	w.look()
	var out []history.Record
	for _, s := range w.seen {
		if s.record.Program == program {
			out = append(out, s.record)
		}
	}
	slices.SortFunc(out, func(a, b history.Record) int { return cmp.Or(cmp.Compare(a.Replica, b.Replica), a.PID-b.PID) })
	return out
}

// signal reaches exactly the process that was seen; false if it has ended.
func (w *witness) signal(pid int, sig unix.Signal) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.seen[pid]
	return s != nil && unix.PidfdSendSignal(s.fd, sig, nil, 0) == nil
}
