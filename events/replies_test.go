package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"
)

func newCall(t testing.TB, b *Bus) *Call {
	t.Helper()
	c, err := b.NewCall()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func TestReplyIsACopyOfTheRecord(t *testing.T) {
	b := newBus(t)
	want := record("1", "s")
	c := newCall(t, b)
	if err := b.Reply(c.Subject, want); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Collect(patient(t)); err != nil || !same(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestErrorReplyIsReadByStockClients checks what `nats request` shows of an error.
func TestErrorReplyIsReadByStockClients(t *testing.T) {
	b := newBus(t)
	inbox := b.nc.NewInbox()
	got := recorder(t, b, inbox)
	r := record("1", "s")
	r.Status, r.Cause, r.Message, r.Body, r.ContentType, r.RetryAfter = StatusShed, CauseQueueFull, "1000 wait\nbefore you", nil, "", 7
	if err := b.Reply(inbox, r); err != nil {
		t.Fatal(err)
	}
	m := next(t, got)
	for name, want := range map[string]string{
		"Stoker-Status": "shed", "Stoker-Id": "1", "Stoker-Attempt": "2", "Stoker-Cause": "queue-full", "Retry-After": "7",
		"Nats-Service-Error-Code": "429", "Nats-Service-Error": "1000 wait before you", "Content-Type": "application/json",
	} {
		if m.Header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, m.Header.Get(name), want)
		}
	}
	want := `{"error":{"code":429,"cause":"queue-full","message":"1000 wait\nbefore you","hint":"try again later, or raise queue.depth or scaling.max","retryAfterSeconds":7}}`
	if string(m.Data) != want {
		t.Errorf("%s", m.Data)
	}
}

func TestRepliesElsewhereAreRefused(t *testing.T) {
	b := newBus(t)
	got := recorder(t, b, "stoker.>")
	for _, to := range []string{"stoker.fn.default.x.batch", "", "$JS.API.STREAM.PURGE.STOKER_RESULTS", "_INBOX.*"} {
		if err := b.Reply(to, record("1", "s")); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", to, err)
		}
		if _, err := b.NewChunkWriter(to, "1", 1); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", to, err)
		}
	}
	flush(t, b)
	if len(got) != 0 {
		t.Errorf("%d messages left", len(got))
	}
}

func TestChunksArriveInOrderAndEnd(t *testing.T) {
	b := newBus(t)
	c := newCall(t, b)
	w, err := b.NewChunkWriter(c.Subject, "1", 1)
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for i := range 100 {
		fmt.Fprintf(&want, "data: %d\n\n", i)
		if _, err := fmt.Fprintf(w, "data: %d\n\n", i); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := w.Close(record("1", "s")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write([]byte("late")); err == nil {
		t.Error("a closed answer takes chunks")
	}
	got, err := c.Collect(patient(t))
	if err != nil || string(got.Body) != want.String() || got.Status != StatusOK {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestDeadReplicaIsReplacedInMidStream: the second attempt starts again, and what the first
// one still sends is dropped.
func TestDeadReplicaIsReplacedInMidStream(t *testing.T) {
	b := newBus(t)
	c := newCall(t, b)
	first, err := b.NewChunkWriter(c.Subject, "1", 1)
	if err != nil {
		t.Fatal(err)
	}
	write := func(w *ChunkWriter, s string) {
		if _, err := w.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	write(first, "a")
	write(first, "b")
	second, err := b.NewChunkWriter(c.Subject, "1", 2)
	if err != nil {
		t.Fatal(err)
	}
	write(first, "late")
	write(second, "A")
	if err := first.Close(record("1", "late")); err != nil {
		t.Fatal(err)
	}
	write(second, "B")
	if err := second.Close(record("1", "s")); err != nil {
		t.Fatal(err)
	}
	var steps []string
	for {
		chunk, err := c.Next(patient(t))
		if err != nil {
			t.Fatal(err)
		}
		if chunk.Final != nil {
			steps = append(steps, "end "+chunk.Final.Source)
			break
		}
		steps = append(steps, fmt.Sprintf("%s%v", chunk.Data, chunk.Restart))
	}
	if want := []string{"afalse", "bfalse", "true", "Afalse", "Bfalse", "end s"}; !slices.Equal(steps, want) {
		t.Errorf("%q, want %q", steps, want)
	}
}

// TestErrorClosesAStream carries the JSON error after what was sent.
func TestErrorClosesAStream(t *testing.T) {
	b := newBus(t)
	c := newCall(t, b)
	w, err := b.NewChunkWriter(c.Subject, "1", 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("half an answer")); err != nil {
		t.Fatal(err)
	}
	r := record("1", "s")
	r.Status, r.Cause, r.Message = StatusError, CauseBackend, "gone"
	if err := w.Close(r); err != nil {
		t.Fatal(err)
	}
	got, err := c.Collect(patient(t))
	if err != nil || got.Status != StatusError || !strings.Contains(string(got.Body), `"message":"gone"`) {
		t.Errorf("%+v, %v", got, err)
	}
}

// chunkMsg is a message of an answer as the reader gets it.
func chunkMsg(attempt, seq int, data string, closing bool) *Msg {
	m := &nats.Msg{Header: Header{HeaderAttempt: {fmt.Sprint(attempt)}, HeaderSeq: {fmt.Sprint(seq)}}, Data: []byte(data)}
	if closing {
		m.Header[HeaderStatus] = []string{"ok"}
	}
	return m
}

// TestReaderNeverHidesAGap loses any set of messages: what is handed out is a prefix of the
// answer, and its end comes only with the whole.
func TestReaderNeverHidesAGap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "chunks")
		lost := rapid.SliceOfN(rapid.Bool(), n+1, n+1).Draw(t, "lost")
		var r ChunkReader
		var got string
		var gap, ended, holed bool
		for i := range n + 1 {
			if lost[i] {
				holed = true
				continue
			}
			c, ok, err := r.Add(chunkMsg(1, i, string(rune('a'+i)), i == n))
			switch {
			case err != nil:
				gap = errors.Is(err, ErrGap)
			case ok && c.Final != nil:
				ended = true
			case ok:
				got += string(c.Data)
			}
		}
		if !strings.HasPrefix("abcdefgh", got) {
			t.Fatalf("handed out %q", got)
		}
		if ended == holed {
			t.Fatalf("ended %v with lost messages %v", ended, lost)
		}
		if holed && !lost[n] && !gap {
			t.Fatalf("the gap of %v was not told", lost)
		}
	})
}

func TestReaderRefusesStrangeMessages(t *testing.T) {
	for _, h := range []Header{
		{}, {HeaderSeq: {"x"}, HeaderAttempt: {"1"}}, {HeaderSeq: {"0"}, HeaderAttempt: {"0"}}, {HeaderSeq: {"-1"}, HeaderAttempt: {"1"}},
		{HeaderStatus: {"great"}},
	} {
		var r ChunkReader
		if c, ok, err := r.Add(&nats.Msg{Header: h}); err == nil {
			t.Errorf("%v: %+v, %v", h, c, ok)
		}
	}
}

func TestSlowCallerIsToldSo(t *testing.T) {
	b := newBus(t)
	c := newCall(t, b)
	w, err := b.NewChunkWriter(c.Subject, "1", 1)
	if err != nil {
		t.Fatal(err)
	}
	for range maxBuffered + 10 {
		if _, err := w.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, b)
	eventually(t, "buffer is full", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.behind })
	for err == nil {
		_, err = c.Next(patient(t))
	}
	if !errors.Is(err, ErrGap) {
		t.Errorf("got %v, want ErrGap", err)
	}
}

func TestCallsEndWithTheirContext(t *testing.T) {
	b := newBus(t)
	c := newCall(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	c.Close()
	if err := b.Reply(c.Subject, record("1", "s")); err != nil { // to nobody
		t.Error(err)
	}
}

func BenchmarkChunk(b *testing.B) {
	bus := newBus(b)
	w, err := bus.NewChunkWriter("_INBOX.bench", "0c5d9a7e-54fb-4d0e-9a34-2f6d7c1b8e90", 1)
	if err != nil {
		b.Fatal(err)
	}
	chunk := []byte("data: {\"token\":\"0123456789abcdef\"}\n\n")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
}
