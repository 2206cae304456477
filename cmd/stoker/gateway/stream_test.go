package gateway

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/events"
)

// sseEvent is one server-sent event, as a client reads it; a comment has no data.
type sseEvent struct{ name, data, comment string }

// openStream posts and returns the answer's events as they come; the channel ends with it.
func (w *world) openStream(ctx context.Context, body string, header ...string) (*http.Response, <-chan sseEvent) {
	w.t.Helper()
	resp, err := w.server.Client().Do(w.request(ctx, http.MethodPost, fnPath, body, header...))
	if err != nil {
		w.t.Fatal(err)
	}
	out := make(chan sseEvent, 1000)
	go func() {
		defer close(out)
		defer resp.Body.Close()
		readEvents(resp.Body, out)
	}()
	return resp, out
}

func readEvents(r io.Reader, out chan<- sseEvent) {
	var e sseEvent
	var data []string
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			e.data = strings.Join(data, "\n")
			out <- e
			e, data = sseEvent{}, nil
		case name == "":
			e.comment = value
		case name == "data":
			data = append(data, value)
		case name == "event":
			e.name = value
		}
	}
}

// news skips comments.
func news(t testing.TB, from <-chan sseEvent) (sseEvent, bool) {
	t.Helper()
	end := time.After(inTime)
	for {
		select {
		case e, ok := <-from:
			if !ok || e.comment == "" {
				return e, ok
			}
		case <-end:
			t.Fatal("no event in time")
		}
	}
}

// rest reads a stream to its end.
func rest(t testing.TB, from <-chan sseEvent) (out []sseEvent) {
	t.Helper()
	for {
		e, ok := news(t, from)
		if !ok {
			return out
		}
		out = append(out, e)
	}
}

// streamer writes chunks; the test says when.
func (w *world) streamer(do func(chunks *events.ChunkWriter, d *events.Delivery) events.Record) *agent {
	return w.agent(fn, func(a *agent, d *events.Delivery) {
		chunks, err := w.bus.NewChunkWriter(d.Request.Event.ReplyTo, d.Request.RecordID(), d.Delivered)
		if err != nil {
			w.t.Error(err)
			return
		}
		rec := do(chunks, d)
		if rec.Status != "" {
			a.end(d, rec, chunks)
		}
	})
}

func chunk(t testing.TB, to *events.ChunkWriter, data string) {
	if _, err := to.Write([]byte(data)); err != nil {
		t.Error(err)
	}
}

// TestStreamComesAsItIsMade: every chunk reaches the caller before the next one is made.
func TestStreamComesAsItIsMade(t *testing.T) {
	w := newWorld(t)
	goOn := make(chan struct{})
	w.streamer(func(c *events.ChunkWriter, d *events.Delivery) events.Record {
		if !d.Request.Event.Stream {
			t.Error("the event does not ask for a stream")
		}
		for _, text := range []string{"data: {\"n\":1}\n\n", "data: {\"n\":2}\n\n", "data: [DONE]"} {
			<-goOn
			chunk(t, c, text)
		}
		<-goOn
		return d.Request.Record(events.StatusOK, "", "")
	})
	resp, stream := w.openStream(w.ctx(), `{"stream": true}`, "Stoker-Id", "s1", "Content-Type", "application/json")
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != mediaStream || resp.Header.Get("Stoker-Id") != "s1" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	for _, want := range []string{`{"n":1}`, `{"n":2}`, "[DONE]"} {
		goOn <- struct{}{}
		if e, ok := news(t, stream); !ok || e.data != want || e.name != "" {
			t.Errorf("%+v, want %s", e, want)
		}
	}
	goOn <- struct{}{}
	if left := rest(t, stream); len(left) != 0 {
		t.Errorf("after the end: %+v", left)
	}
}

func TestStreamSaysThatItWaits(t *testing.T) {
	w := newWorld(t)
	_, stream := w.openStream(w.ctx(), "x", "Accept", "text/html;q=0.1, text/event-stream")
	for range 2 {
		if e := next(t, "a sign of life", stream); e.comment != "waiting" {
			t.Errorf("%+v", e)
		}
	}
	w.streamer(func(c *events.ChunkWriter, d *events.Delivery) events.Record {
		chunk(t, c, "data: awake\n\n")
		return d.Request.Record(events.StatusOK, "", "")
	})
	if all := rest(t, stream); len(all) != 1 || all[0].data != "awake" {
		t.Errorf("%+v", all)
	}
}

// TestStreamRestarts: a replica that dies in mid-stream leaves no gap and no doubt.
func TestStreamRestarts(t *testing.T) {
	w := newWorld(t)
	w.streamer(func(c *events.ChunkWriter, d *events.Delivery) events.Record {
		chunk(t, c, "data: one\n\n")
		if d.Delivered == 1 {
			must(t, d.GiveBack(0))
			return events.Record{}
		}
		chunk(t, c, "data: two\n\n")
		return d.Request.Record(events.StatusOK, "", "")
	})
	_, stream := w.openStream(w.ctx(), "x", "Accept", mediaStream)
	var told []string
	for _, e := range rest(t, stream) {
		told = append(told, e.name+"|"+e.data)
	}
	if got, want := strings.Join(told, " "), `|one restart|{"restart":true} |one |two`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestStreamThatFailsEndsWithAnError(t *testing.T) {
	w := newWorld(t)
	w.streamer(func(c *events.ChunkWriter, d *events.Delivery) events.Record {
		chunk(t, c, "data: one\n\n")
		return d.Request.Record(events.StatusError, events.CauseAttemptsSpent, "it died three times")
	})
	_, stream := w.openStream(w.ctx(), "x", "Accept", mediaStream)
	all := rest(t, stream)
	if len(all) != 2 || all[1].name != "error" {
		t.Fatalf("%+v", all)
	}
	if e := readFailure(t, all[1].data); e.Code != 502 || e.Cause != events.CauseAttemptsSpent || e.Message != "it died three times" {
		t.Errorf("%+v", e)
	}
}

// TestStreamThatNeverBeganIsAPlainError: before the first byte an error has its own status.
func TestStreamThatNeverBeganIsAPlainError(t *testing.T) {
	w := newWorld(t)
	w.gateway.patience.waiting = time.Hour
	w.streamer(func(_ *events.ChunkWriter, d *events.Delivery) events.Record {
		return d.Request.Record(events.StatusExpired, events.CauseDeadline, "too late")
	})
	r := w.post(fnPath, "x", "Accept", mediaStream)
	if e := r.failure(t); r.StatusCode != http.StatusGatewayTimeout || e.Message != "too late" {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
}

func TestStreamGapIsTold(t *testing.T) {
	w := newWorld(t)
	w.agent(fn, func(_ *agent, d *events.Delivery) {
		for _, seq := range []string{"0", "2"} { // 1 is lost
			m := &events.Msg{Subject: d.Request.Event.ReplyTo, Data: []byte("data: x\n\n"), Header: events.Header{"Stoker-Seq": {seq}, "Stoker-Attempt": {"1"}}}
			must(t, w.bus.Conn().PublishMsg(m))
		}
	})
	_, stream := w.openStream(w.ctx(), "x", "Accept", mediaStream)
	all := rest(t, stream)
	if len(all) != 2 || all[1].name != "error" || readFailure(t, all[1].data).Cause != causeLost {
		t.Errorf("%+v", all)
	}
}

// TestStreamWhoseEndIsLost: the record says that it ended, and nobody knows whether all of it came.
func TestStreamWhoseEndIsLost(t *testing.T) {
	for _, copied := range []bool{true, false} {
		w := newWorld(t)
		w.agent(fn, func(a *agent, d *events.Delivery) {
			c, err := w.bus.NewChunkWriter(d.Request.Event.ReplyTo, d.Request.RecordID(), 1)
			must(t, err)
			chunk(t, c, "data: one\n\n")
			rec := d.Request.Record(events.StatusOK, "", "")
			if rec.Copy = copied; !copied { // killed before it closed the stream, and nobody replies
				d.Request.Event.ReplyTo = ""
			}
			a.end(d, rec, nil)
		})
		_, stream := w.openStream(w.ctx(), "x", "Accept", mediaStream)
		all := rest(t, stream)
		if len(all) != 2 || all[1].name != "error" || readFailure(t, all[1].data).Cause != causeLost {
			t.Errorf("copied %t: %+v", copied, all)
		}
	}
}

// TestWholeAnswersAreFramed: a model server that does not stream still answers a caller who
// reads server-sent events, whatever its bytes are.
func TestWholeAnswersAreFramed(t *testing.T) {
	w := newWorld(t)
	const body = "first\r\nsecond\rthird: x\n"
	w.serve(fn, func(events.Request) (string, []byte) { return "text/plain", []byte(body) })
	_, stream := w.openStream(w.ctx(), "x", "Accept", mediaStream)
	all := rest(t, stream)
	if len(all) != 1 || all[0].data != "first\nsecond\nthird: x\n" {
		t.Errorf("%+v", all)
	}
}

func TestStreamCallerThatGoesAwayCancels(t *testing.T) {
	w := newWorld(t)
	end := make(chan struct{})
	a := w.streamer(func(c *events.ChunkWriter, _ *events.Delivery) events.Record {
		chunk(t, c, "data: one\n\n")
		<-end
		return events.Record{}
	})
	defer close(end)
	ctx, hangUp := context.WithCancel(w.ctx())
	_, stream := w.openStream(ctx, "x", "Accept", mediaStream, "Stoker-Id", "unwanted")
	if e, ok := news(t, stream); !ok || e.data != "one" {
		t.Fatalf("%+v", e)
	}
	hangUp()
	if id := next(t, "the cancellation", a.cancelled); id != "unwanted" {
		t.Errorf("cancelled %q", id)
	}
	eventually(t, "nobody is inside", func() bool { return w.gateway.door.inside() == 0 })
}

func TestWantsStream(t *testing.T) {
	for _, c := range []struct {
		accept, body string
		want         bool
	}{
		{"", `{"stream":true}`, true},
		{"", `{"stream":false}`, false},
		{"", `{"stream":"yes"}`, false},
		{"", `{"note":"\"stream\": true"}`, false},
		{"", `[{"stream":true}]`, false},
		{"*/*", `{}`, false},
		{"application/json, text/event-stream;q=0.5", "", true},
		{"text/event-streams", "", false},
	} {
		if got := wantsStream([]string{c.accept}, events.Event{Data: []byte(c.body)}); got != c.want {
			t.Errorf("%q %s: %t", c.accept, c.body, got)
		}
	}
}
