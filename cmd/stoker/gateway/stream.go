package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"stoker.dev/stoker/events"
)

const mediaStream = "text/event-stream"

// stream answers with server-sent events as the chunks come. Until the first byte is out an
// error is a plain HTTP error; later it is the event "error", and an answer that starts again
// is announced by the event "restart".
func (g *Gateway) stream(ctx context.Context, w http.ResponseWriter, a *answer) (events.Record, *refusal) {
	s := &sse{live: live{w, http.NewResponseController(w)}, a: a}
	chunks, gone := make(chan streamed), make(chan struct{})
	defer close(gone)
	go a.read(ctx, chunks, gone)
	tick := time.NewTicker(g.patience.waiting)
	defer tick.Stop()
	for {
		select {
		case c := <-chunks:
			tick.Reset(g.patience.waiting)
			if c.Final != nil || c.refused != nil {
				return s.end(c)
			}
			s.chunk(c.Chunk)
		case <-tick.C:
			s.write([]byte(": waiting\n\n"))
		}
		if s.err != nil {
			return events.Record{}, callerGone()
		}
	}
}

// streamed is a chunk, or why there is none.
type streamed struct {
	events.Chunk
	refused *refusal
}

// read hands over chunks until the last one, or until gone is closed. The end of ctx is an
// answer too.
func (a *answer) read(ctx context.Context, to chan<- streamed, gone <-chan struct{}) {
	for {
		c := a.step(ctx)
		select {
		case to <- c:
		case <-gone:
			return
		}
		if c.Final != nil || c.refused != nil {
			return
		}
	}
}

func (a *answer) step(ctx context.Context) (c streamed) {
	var err error
	if a.again {
		var rec events.Record
		rec, err = a.record(ctx)
		c.Final = &rec
	} else {
		c.Chunk, err = a.next(ctx)
	}
	if err != nil {
		return streamed{refused: a.lost(ctx, err)}
	}
	return c
}

// sse writes one stream of server-sent events.
type sse struct {
	live
	a      *answer
	open   bool // the headers are out
	pieces int  // of the answer
	raw    bool // what comes is no event stream and is framed here
	err    error
}

// begin writes the headers.
func (s *sse) begin() {
	if s.open {
		return
	}
	s.open = true
	h := s.w.Header()
	writeAbout(s.w, s.a.call.key, s.a.id)
	set(h, "Content-Type", mediaStream)
	set(h, "Cache-Control", "no-store")
	set(h, "X-Accel-Buffering", "no") // nginx would hold events back
	set(h, "X-Content-Type-Options", "nosniff")
	s.w.WriteHeader(http.StatusOK)
}

func (s *sse) write(event []byte) {
	if s.err != nil {
		return
	}
	s.begin()
	s.err = s.send(event)
}

func (s *sse) chunk(c events.Chunk) {
	if c.Restart {
		s.write(event("restart", []byte(`{"restart":true}`)))
		s.pieces = 0
	}
	if len(c.Data) == 0 {
		return
	}
	if s.pieces == 0 {
		s.raw = !isEvent(c.Data)
	}
	s.pieces++
	if s.raw {
		s.write(event("", c.Data))
		return
	}
	s.write(terminated(c.Data))
}

// end writes what closes the stream.
func (s *sse) end(c streamed) (events.Record, *refusal) {
	if c.refused != nil {
		return events.Record{}, s.fail(c.refused)
	}
	rec := *c.Final
	switch {
	case rec.Status != events.StatusOK && !s.open:
		writeRecord(s.w, rec, rec.Code())
		return rec, nil
	case rec.Status != events.StatusOK:
		s.write(event("error", errorData(rec)))
	case rec.Copy && s.pieces > 0:
		// The end comes from the record: whether all chunks were there, nobody knows.
		return rec, s.fail(refuse(http.StatusBadGateway, causeLost, "the end of the answer was lost", "GET "+resultPath(s.a.call.key, s.a.id)))
	case s.pieces == 0:
		if refused := kept(s.a.call, s.a.id, rec); refused != nil {
			return rec, s.fail(refused)
		}
		s.chunk(events.Chunk{Data: rec.Body})
	}
	s.begin()
	return rec, nil
}

// fail ends the stream with an error: of HTTP while nothing was written, an event otherwise.
func (s *sse) fail(r *refusal) *refusal {
	if s.open {
		s.write(event("error", r.body()))
		return r
	}
	writeAbout(s.w, s.a.call.key, s.a.id)
	writeRefusal(s.w, r)
	return r
}

// errorData is the JSON of a record that is no result: the platform's own, or a model
// server's where it said why.
func errorData(rec events.Record) []byte {
	if len(rec.Body) > 0 && json.Valid(rec.Body) && bytes.Contains(rec.Body, []byte(`"error"`)) {
		return rec.Body
	}
	return rec.ErrorBody()
}

// isEvent tells whether a chunk is part of a stream of server-sent events already.
func isEvent(chunk []byte) bool {
	for _, field := range []string{"data:", "event:", "id:", "retry:", ":"} {
		if bytes.HasPrefix(chunk, []byte(field)) {
			return true
		}
	}
	return false
}

// terminated adds the blank line that the last event of a stream may lack.
func terminated(chunk []byte) []byte {
	if bytes.HasSuffix(chunk, []byte("\n\n")) || bytes.HasSuffix(chunk, []byte("\r\n\r\n")) {
		return chunk
	}
	return append(bytes.TrimRight(bytes.Clone(chunk), "\r\n"), "\n\n"...)
}

// event frames data, each line of it with the field's name. A line ends with CR, LF or both.
func event(name string, data []byte) []byte {
	var b bytes.Buffer
	if name != "" {
		fmt.Fprintf(&b, "event: %s\n", name)
	}
	data = bytes.ReplaceAll(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
	for _, line := range bytes.Split(data, []byte("\n")) {
		_, _ = io.WriteString(&b, "data: ")
		b.Write(line)
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	return b.Bytes()
}
