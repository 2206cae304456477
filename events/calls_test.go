package events

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
)

// chunk is message seq of an answer, with so many bytes.
func chunkOf(seq string, size int) *nats.Msg {
	return &nats.Msg{Data: make([]byte, size), Header: nats.Header{HeaderSeq: {seq}, HeaderAttempt: {"1"}, HeaderID: {"x"}}}
}

// A caller that does not read loses its answer, and what it kept is let go of at once.
func TestACallerThatDoesNotReadKeepsNoMemory(t *testing.T) {
	for name, size := range map[string]int{"many small messages": 1, "few large ones": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			mux := &callMux{}
			c := &Call{mux: mux, wake: make(chan struct{}, 1)}
			most := int64(0)
			for range maxBuffered + 1 {
				c.add(chunkOf("0", size))
				most = max(most, mux.buffered.Load())
			}
			if most > maxBufferedBytes {
				t.Errorf("%d bytes waited, want %d at most", most, maxBufferedBytes)
			}
			if left := mux.buffered.Load(); left != 0 || len(c.queue) != 0 {
				t.Errorf("%d bytes in %d messages are kept for an answer that is lost", left, len(c.queue))
			}
			if _, err := c.Next(t.Context()); !errors.Is(err, ErrGap) {
				t.Errorf("got %v, want ErrGap", err)
			}
		})
	}
}

// All callers together are bounded too; one that reads gets its answer in one piece all the same.
func TestAllCallersTogetherAreBounded(t *testing.T) {
	mux := &callMux{}
	const size = maxBufferedBytes / 2
	var calls []*Call
	for range 2 * maxAllBuffered / maxBufferedBytes {
		c := &Call{mux: mux, wake: make(chan struct{}, 1)}
		calls = append(calls, c)
		for range 2 {
			c.add(chunkOf("0", size))
		}
	}
	if got := mux.buffered.Load(); got > maxAllBuffered {
		t.Errorf("%d bytes wait, want %d at most", got, maxAllBuffered)
	}
	for _, c := range calls {
		c.Close()
	}
	if got := mux.buffered.Load(); got != 0 {
		t.Errorf("%d bytes are kept for callers that left", got)
	}
	late := &Call{mux: mux, wake: make(chan struct{}, 1)}
	late.add(chunkOf("0", size))
	if m, err := late.pop(context.WithoutCancel(t.Context())); err != nil || len(m.Data) != size {
		t.Errorf("%v, %v", m, err)
	}
}
