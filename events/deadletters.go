package events

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/functions"
)

// Headers a dead letter has beside those of its request.
const (
	headerDeadStream = "Stoker-Stream" // where the request was stored
	headerDeadSeq    = "Stoker-Stored-Seq"
	headerDeadStored = "Stoker-Published"
	headerDeadAfter  = "Stoker-Attempt" // failed attempts
)

// MaxPage bounds one page of dead letters: each is read with a call of its own.
const MaxPage = 1000

// DeadLetter is a request whose attempts are spent.
type DeadLetter struct {
	Request  Request
	Seq      uint64 // in the dead-letter stream: names it for get and redrive
	Died     time.Time
	Cause    string
	Message  string
	Failures int
}

// Bury makes a dead letter of a request, before its record is written and it is
// acknowledged. Doing it again within [DuplicateWindow] changes nothing.
func (b *Bus) Bury(ctx context.Context, r Request, a Attempts) error {
	h, err := r.Event.Encode()
	if err != nil {
		return err
	}
	h[headerDeadStream] = []string{r.Stream}
	h[headerDeadSeq] = []string{strconv.FormatUint(r.Seq, 10)}
	h[headerDeadStored] = []string{formatTime(r.Stored)}
	h[headerDeadAfter] = []string{strconv.Itoa(a.Failures)}
	h[HeaderCause] = []string{percentEncode(a.Cause)}
	h[HeaderMessage] = []string{percentEncode(a.Message)}
	m := &nats.Msg{Subject: DeadSubject(r.Key, r.Class), Header: h, Data: r.Event.Data}
	id := MsgID(r.Key, r.Event.Source, r.Event.ID, r.Event.Redrive)
	_, err = b.js.PublishMsg(ctx, m, jetstream.WithMsgID(id), jetstream.WithExpectStream(StreamDead))
	return wrap("dead letter of "+r.Key.String(), err)
}

// DeadLetters lists a function's dead letters, oldest first, from a sequence on: at most
// limit of them, and never more than [MaxPage]. next starts the page after it; 0 means there is none.
func (b *Bus) DeadLetters(ctx context.Context, k functions.Key, from uint64, limit int) (page []DeadLetter, next uint64, err error) {
	s, err := b.js.Stream(ctx, StreamDead)
	if err != nil {
		return nil, 0, wrap("stream "+StreamDead, err)
	}
	if limit <= 0 || limit > MaxPage {
		limit = MaxPage
	}
	from = max(from, 1)
	for range limit {
		d, err := getDead(ctx, s, from, DeadFilter(k))
		if errors.Is(err, ErrNotFound) {
			return page, 0, nil
		}
		if err != nil {
			return page, 0, err
		}
		page = append(page, d)
		from = d.Seq + 1
	}
	if _, err := getDead(ctx, s, from, DeadFilter(k)); errors.Is(err, ErrNotFound) {
		return page, 0, nil
	}
	return page, from, nil
}

// DeadLetter reads one dead letter of a function by its sequence.
func (b *Bus) DeadLetter(ctx context.Context, k functions.Key, seq uint64) (DeadLetter, error) {
	s, err := b.js.Stream(ctx, StreamDead)
	if err != nil {
		return DeadLetter{}, wrap("stream "+StreamDead, err)
	}
	d, err := getDead(ctx, s, seq, "")
	if err == nil && d.Request.Key != k {
		return DeadLetter{}, fmt.Errorf("%w: dead letter %d of %s; see: stoker queue dead %s", ErrNotFound, seq, k, k)
	}
	return d, err
}

// getDead reads the message at seq, or, with a filter, the next one that matches it.
func getDead(ctx context.Context, s jetstream.Stream, seq uint64, filter string) (DeadLetter, error) {
	var opts []jetstream.GetMsgOpt
	if filter != "" {
		opts = append(opts, jetstream.WithGetMsgSubject(filter))
	}
	m, err := s.GetMsg(ctx, seq, opts...)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return DeadLetter{}, fmt.Errorf("%w: dead letter %d", ErrNotFound, seq)
	}
	if err != nil {
		return DeadLetter{}, wrap(fmt.Sprintf("dead letter %d", seq), err)
	}
	return parseDead(m)
}

func parseDead(m *jetstream.RawStreamMsg) (DeadLetter, error) {
	k, c, err := ParseDead(m.Subject)
	if err != nil {
		return DeadLetter{}, err
	}
	e, err := decode(m.Header, m.Data)
	if err != nil {
		return DeadLetter{}, fmt.Errorf("dead letter %d: %w", m.Sequence, err)
	}
	d := DeadLetter{Seq: m.Sequence, Died: m.Time.UTC(), Cause: percentDecode(m.Header.Get(HeaderCause)), Message: percentDecode(m.Header.Get(HeaderMessage))}
	seq, err := strconv.ParseUint(m.Header.Get(headerDeadSeq), 10, 64)
	if err != nil {
		return DeadLetter{}, fmt.Errorf("%w: dead letter %d: %s: %w", ErrSubject, m.Sequence, headerDeadSeq, err)
	}
	stored, err := time.Parse(time.RFC3339Nano, m.Header.Get(headerDeadStored))
	if err != nil {
		return DeadLetter{}, fmt.Errorf("%w: dead letter %d: %s: %w", ErrSubject, m.Sequence, headerDeadStored, err)
	}
	if d.Failures, err = strconv.Atoi(m.Header.Get(headerDeadAfter)); err != nil {
		return DeadLetter{}, fmt.Errorf("%w: dead letter %d: %s: %w", ErrSubject, m.Sequence, headerDeadAfter, err)
	}
	d.Request = Request{Event: e, Key: k, Class: c, Stream: m.Header.Get(headerDeadStream), Seq: seq, Stored: stored}
	return d, nil
}

// Redrive publishes a dead letter again and deletes it. It is a request of its own, with a
// record of its own: its deadline and its caller are gone, so it has neither, and its
// record holds the whole answer. Doing it twice at once publishes it once.
func (b *Bus) Redrive(ctx context.Context, k functions.Key, seq uint64) (PubAck, error) {
	d, err := b.DeadLetter(ctx, k, seq)
	if err != nil {
		return PubAck{}, err
	}
	ack, err := b.Publish(ctx, redriven(d.Request.Event), d.Request.Key, d.Request.Class)
	if err != nil {
		return PubAck{}, err
	}
	return ack, b.DeleteDead(ctx, seq)
}

func redriven(e Event) Event {
	e.Extensions = maps.Clone(e.Extensions)
	e.Redrive++
	e.Deadline, e.ReplyTo, e.Stream, e.Sync = time.Time{}, "", false, false
	return e
}

// DeleteDead deletes one dead letter. One that is gone already is no error.
func (b *Bus) DeleteDead(ctx context.Context, seq uint64) error {
	s, err := b.js.Stream(ctx, StreamDead)
	if err != nil {
		return wrap("stream "+StreamDead, err)
	}
	return deleteMsg(ctx, s, seq)
}

// PurgeDead deletes all dead letters of a function and tells how many there were.
func (b *Bus) PurgeDead(ctx context.Context, k functions.Key) (int, error) {
	n, err := b.CountDead(ctx, k)
	if err != nil || n == 0 {
		return n, err
	}
	s, err := b.js.Stream(ctx, StreamDead)
	if err != nil {
		return 0, wrap("stream "+StreamDead, err)
	}
	return n, wrap("purge dead letters of "+k.String(), s.Purge(ctx, jetstream.WithPurgeSubject(DeadFilter(k))))
}

// CountDead counts the dead letters of a function.
func (b *Bus) CountDead(ctx context.Context, k functions.Key) (int, error) {
	n := 0
	err := b.countSubjects(ctx, StreamDead, DeadFilter(k), func(_ string, count uint64) error {
		n += int(count)
		return nil
	})
	return n, err
}
