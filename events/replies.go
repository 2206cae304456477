package events

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
)

// Headers of an answer that comes in chunks.
const (
	HeaderSeq     = "Stoker-Seq"     // 0, 1, 2, … within one attempt
	HeaderRestart = "Stoker-Restart" // "true": what came before is void, the answer starts again
)

// Reply answers a request with a copy of its record, at most once: the record can be
// fetched again. An error also carries the headers of NATS micro, so that stock clients
// show it. A subject that is no inbox is refused, see [ReplyAllowed].
func (b *Bus) Reply(to string, rec Record) error {
	return b.reply(to, replyMsg(to, rec))
}

// ReplyHeader is the header of a reply: what the gateway answers an invoke with.
func ReplyHeader(rec Record) Header {
	h := rec.header()
	if rec.Status != StatusOK {
		h[HeaderErrorCode] = []string{strconv.Itoa(rec.Code())}
		h[HeaderError] = []string{OneLine(rec.errorText())}
	}
	return h
}

func (r Record) errorText() string {
	switch {
	case r.Message != "":
		return r.Message
	case r.Cause != "":
		return r.Cause
	default:
		return string(r.Status)
	}
}

func replyMsg(to string, rec Record) *nats.Msg {
	return &nats.Msg{Subject: to, Header: ReplyHeader(rec), Data: rec.payload()}
}

func (b *Bus) reply(to string, m *nats.Msg) error {
	if !ReplyAllowed(to) {
		return malformed(extReplyTo, to, "_INBOX.> or _R.>", "let the client make an inbox")
	}
	return wrap("reply to "+to, b.nc.PublishMsg(m))
}

// ParseReply reads a whole answer back: a reply, or the message that closes a stream.
func ParseReply(m *Msg) (Record, error) { return parseRecord(m.Header, m.Data) }

// ChunkWriter sends an answer as it is made. Writes go to the broker's connection at once;
// order is kept. It is safe for concurrent use.
type ChunkWriter struct {
	b       *Bus
	to, id  string
	attempt int

	mu   sync.Mutex
	seq  int
	done bool
	// head is that of every chunk; the library has written it out when a publish returns.
	head Header
}

// NewChunkWriter starts an answer in chunks. The attempt must grow with every delivery of
// the request, failed or not, so that the caller can tell a dead replica's late chunks:
// the number of deliveries of the pulled message does. An attempt after the first starts
// with a restart marker.
func (b *Bus) NewChunkWriter(to, id string, attempt int) (*ChunkWriter, error) {
	w := &ChunkWriter{b: b, to: to, id: id, attempt: max(attempt, 1), head: Header{}}
	if !ReplyAllowed(to) {
		return nil, malformed(extReplyTo, to, "_INBOX.> or _R.>", "let the client make an inbox")
	}
	if w.attempt == 1 {
		return w, nil
	}
	return w, w.send(Header{HeaderRestart: {"true"}}, nil)
}

// Write sends one chunk: the raw bytes of one server-sent event, or of a part of the body.
func (w *ChunkWriter) Write(chunk []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.send(w.head, chunk); err != nil {
		return 0, err
	}
	return len(chunk), nil
}

// Close sends the closing message: the record without its answer, which went out before.
// Of an error it carries the JSON body. Closing again does nothing.
func (w *ChunkWriter) Close(rec Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return nil
	}
	rec.Body = nil
	err := w.send(ReplyHeader(rec), rec.payload())
	w.done = err == nil
	return err
}

// send sends the next message; w.mu is held.
func (w *ChunkWriter) send(h Header, data []byte) error {
	if w.done {
		return fmt.Errorf("%w: the answer %s is closed", ErrConflict, w.id)
	}
	w.place(h)
	if err := w.b.nc.PublishMsg(&nats.Msg{Subject: w.to, Header: h, Data: data}); err != nil {
		return wrap("chunk to "+w.to, err)
	}
	w.seq++
	return nil
}

// place says of which answer a message is, and which part. A header that was placed before only
// gets its new number.
func (w *ChunkWriter) place(h Header) {
	seq := strconv.Itoa(w.seq)
	if old := h[HeaderSeq]; len(old) == 1 {
		old[0] = seq
		return
	}
	h[HeaderID] = []string{percentEncode(w.id)}
	h[HeaderAttempt] = []string{strconv.Itoa(w.attempt)}
	h[HeaderSeq] = []string{seq}
}
