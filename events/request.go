package events

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"stoker.dev/stoker/functions"
)

// Request is an event as the broker stored it: what it asks, of which function, how
// urgently, and where it lies.
type Request struct {
	Event  Event
	Key    functions.Key
	Class  functions.Class
	Stream string // the shard's stream
	Seq    uint64 // in that stream
	Stored time.Time
}

// NewRequest reads a stored message. A bare payload is completed: its id is where it is
// stored. With a [*MalformedError] the request still has its id, function and class, and
// its reply subject where that is allowed, so that it can end in a record.
func NewRequest(subject string, h Header, data []byte, stream string, seq uint64, stored time.Time) (Request, error) {
	k, c, err := ParseRequest(subject)
	if err != nil {
		return Request{}, err
	}
	e, err := Decode(h, data)
	if e.comesBefore(stream, seq) {
		e, err = refuseID(e, err)
	}
	return Request{
		Event: e.complete(BareID(stream, seq), stored.UTC()),
		Key:   k, Class: c, Stream: stream, Seq: seq, Stored: stored.UTC(),
	}, err
}

// RecordID is the id under which the request's terminal record is looked for first.
func (r Request) RecordID() string { return RecordID(r.Event.ID, r.Event.Redrive) }

// RecordID keeps the records of a request and of its redrives apart.
func RecordID(id string, redrive int) string {
	if redrive == 0 {
		return id
	}
	return id + "~r" + strconv.Itoa(redrive)
}

// Deadline is when the answer stops being wanted: what the event says, or so long after it
// was stored as the function's manifest says. Zero means never.
func (r Request) Deadline(queue functions.Queue) time.Time {
	if !r.Event.Deadline.IsZero() {
		return r.Event.Deadline
	}
	if queue.Deadline.D() <= 0 {
		return time.Time{}
	}
	return r.Stored.Add(queue.Deadline.D())
}

// Record starts the request's terminal record; the caller adds how it ended.
func (r Request) Record(status Status, cause, message string) Record {
	return Record{
		ID: r.RecordID(), Source: r.Event.Source, Function: r.Key, Class: r.Class,
		Status: status, Cause: cause, Message: message,
		Redrive: r.Event.Redrive, Published: r.Stored,
	}
}

// MsgID is the Nats-Msg-Id of a request: the deduplication window is per stream, where two
// functions may see the same source and id. Each part is written with its length, so that two
// lists of parts never read the same.
func MsgID(k functions.Key, source, id string, redrive int) string {
	const short = 256 // most fit, and need no memory of their own
	text := make([]byte, 0, short)
	for _, part := range [...]string{k.Namespace, k.Name, source, id, strconv.Itoa(redrive)} {
		text = strconv.AppendInt(text, int64(len(part)), 10)
		text = append(append(text, ':'), part...)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
