package bench

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"stoker.dev/stoker/cmd/stoker-agent/pull"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// rawTick is how often the worker looks whether an ask was lost.
const rawTick = time.Second

// rawWorker is the pull side of the floor: it asks the broker by the agents' own rules, and
// does with a message what cannot be left out, acknowledge and reply.
type rawWorker struct {
	bus   *events.Bus
	inbox string
	next  []string // where to ask, per class

	mu sync.Mutex
	m  *pull.Machine
}

// RawWorker pulls until ctx ends. It runs as a process of its own.
func RawWorker(ctx context.Context, natsURL string) error {
	bus, err := dialOwner(natsURL, os.Getenv(secretEnv))
	if err != nil {
		return err
	}
	defer bus.Close()
	w := &rawWorker{bus: bus, inbox: bus.Conn().NewRespInbox() + ".", m: pull.New(PathSlots)}
	for _, c := range functions.Classes() {
		w.next = append(w.next, events.NextSubject(events.ShardStream(rawShard), events.Consumer(rawKey, c)))
	}
	if _, err := bus.Conn().Subscribe(w.inbox+"*", w.receive); err != nil {
		return err
	}
	if err := bus.Flush(ctx); err != nil {
		return err
	}
	w.ask()
	tick := time.NewTicker(rawTick)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.ask()
		case <-ctx.Done():
			return nil
		}
	}
}

func (w *rawWorker) ask() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.askAt(time.Now())
}

// askAt sends what the machine wants sent; w.mu is held.
func (w *rawWorker) askAt(now time.Time) {
	for _, a := range w.m.Next(now) {
		body := fmt.Appendf(nil, `{"batch":%d,"no_wait":true}`, a.N)
		if a.Wait {
			body = fmt.Appendf(nil, `{"batch":%d,"expires":%d}`, a.N, pull.WaitFor)
		}
		if err := w.bus.Conn().PublishRequest(w.next[a.Class], w.inbox+strconv.FormatUint(a.ID, 10), body); err != nil {
			w.m.Refused(a.ID, now)
		}
	}
}

// receive tells messages from statuses, which alone arrive under the inbox's own subject.
func (w *rawWorker) receive(m *events.Msg) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if ask, isStatus := strings.CutPrefix(m.Subject, w.inbox); isStatus {
		w.status(ask, m.Header.Get("Status"), now)
	} else {
		w.answer(m, now)
	}
	w.askAt(now)
}

func (w *rawWorker) status(ask, status string, now time.Time) {
	id, err := strconv.ParseUint(ask, 10, 64)
	switch {
	case err != nil:
	case status == "404", status == "408":
		w.m.Ended(id, now)
	default:
		w.m.Refused(id, now)
	}
}

// answer sends the payload back.
func (w *rawWorker) answer(m *events.Msg, now time.Time) {
	_, c, err := events.ParseRequest(m.Subject)
	if err != nil {
		return
	}
	meta, err := m.Metadata()
	if err != nil {
		return
	}
	w.m.Delivered(slices.Index(functions.Classes(), c), meta.NumPending, now)
	if err := m.Ack(); err == nil {
		_ = w.bus.Conn().Publish(m.Header.Get(headerRawReply), m.Data) // a caller without its answer ends the measurement
	}
	w.m.Finished(now)
}
