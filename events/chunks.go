package events

import (
	"context"
	"fmt"
	"strconv"
)

// Chunk is one step of an answer as its caller sees it.
type Chunk struct {
	Data    []byte
	Restart bool    // forget what came before, the answer starts again
	Final   *Record // set on the last one; its Body is the whole answer where that came in one piece
}

// ChunkReader puts an answer together: it drops what a lower attempt still sends, tells
// restarts, and finds gaps. The zero value is ready for use by one goroutine.
type ChunkReader struct {
	attempt int
	next    int
	any     bool // something was handed out
	done    bool
}

// Add takes the next message. It returns false where there is nothing to hand out. An
// error is [ErrGap], or a message that is no part of an answer; the answer is lost then.
func (r *ChunkReader) Add(m *Msg) (Chunk, bool, error) {
	if r.done {
		return Chunk{}, false, nil
	}
	if m.Header.Get(HeaderSeq) == "" { // an answer in one piece, or one that somebody else closes
		return r.final(m)
	}
	attempt, seq, err := chunkPlace(m)
	if err != nil {
		return Chunk{}, false, err
	}
	if attempt < r.attempt || attempt == r.attempt && seq < r.next {
		return Chunk{}, false, nil
	}
	fresh := attempt > r.attempt
	if fresh {
		r.attempt, r.next = attempt, 0
	}
	if seq != r.next {
		r.done = true
		return Chunk{}, false, fmt.Errorf("%w: attempt %d has chunk %d where %d is next; the record may hold the answer", ErrGap, attempt, seq, r.next)
	}
	r.next++
	return r.hand(m, fresh)
}

// hand makes a chunk of a message that is the next one.
func (r *ChunkReader) hand(m *Msg, fresh bool) (Chunk, bool, error) {
	if m.Header.Get(HeaderStatus) != "" {
		return r.final(m)
	}
	c := Chunk{Data: m.Data, Restart: fresh && r.any}
	if m.Header.Get(HeaderRestart) == "true" {
		c.Data = nil
		if !c.Restart {
			return Chunk{}, false, nil
		}
	}
	r.any = !(c.Restart && c.Data == nil)
	return c, true, nil
}

func (r *ChunkReader) final(m *Msg) (Chunk, bool, error) {
	r.done = true
	rec, err := ParseReply(m)
	if err != nil {
		return Chunk{}, false, err
	}
	return Chunk{Final: &rec}, true, nil
}

func chunkPlace(m *Msg) (attempt, seq int, err error) {
	attempt, err = strconv.Atoi(m.Header.Get(HeaderAttempt))
	if err == nil {
		seq, err = strconv.Atoi(m.Header.Get(HeaderSeq))
	}
	if err != nil || attempt < 1 || seq < 0 {
		return 0, 0, malformed(HeaderAttempt+", "+HeaderSeq, m.Header.Get(HeaderAttempt)+", "+m.Header.Get(HeaderSeq),
			"an attempt from 1 and a sequence from 0", "speak stoker's reply protocol on reply subjects")
	}
	return attempt, seq, nil
}

// Collect reads an answer to its end, in chunks or in one piece, and returns the record
// with the whole answer as its Body. An answer that starts again replaces what came before.
func Collect(ctx context.Context, next func(context.Context) (Chunk, error)) (Record, error) {
	var body []byte
	for {
		c, err := next(ctx)
		if err != nil {
			return Record{}, err
		}
		if c.Restart {
			body = nil
		}
		body = append(body, c.Data...)
		if c.Final == nil {
			continue
		}
		if c.Final.Status == StatusOK && len(body) > 0 {
			c.Final.Body = body
		}
		return *c.Final, nil
	}
}
