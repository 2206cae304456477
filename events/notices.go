package events

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"stoker.dev/stoker/functions"
)

// Kinds of things the platform says something about.
const (
	NoticeFunction = "function"
	NoticeReplica  = "replica"
	NoticePool     = "pool"
)

// SourcePlatform is the CloudEvents source of what the platform says.
const SourcePlatform = "stoker"

// Notice is something that happened: a CloudEvent of the platform about a function.
type Notice struct {
	Key  functions.Key   `json:"function"`
	Kind string          `json:"kind"`
	What string          `json:"what"` // one token such as "replica-ready"
	At   time.Time       `json:"at"`
	ID   string          `json:"id"`
	Seq  uint64          `json:"seq"` // grows; Tail can go on after it
	Data json.RawMessage `json:"data,omitempty"`
}

// NoticeType is the CloudEvents type of a notice; the payload's shape belongs to it.
func NoticeType(kind, what string) string { return "dev.stoker." + kind + "." + what + ".v1" }

// Emit says that something happened. data becomes JSON; nil is none. Losing a notice loses
// nothing but the sight of it, so callers log the error and go on.
func (b *Bus) Emit(ctx context.Context, k functions.Key, kind, what string, data any) error {
	if !token(kind) || !token(what) {
		return fmt.Errorf("%w: notice %q %q, allowed: letters, digits and \"-\"", ErrSubject, kind, what)
	}
	e := Event{
		ID: nuid.Next(), Source: SourcePlatform, Type: NoticeType(kind, what),
		Subject: k.String(), Time: time.Now().UTC(),
	}
	if data != nil {
		body, err := json.Marshal(data)
		if err != nil {
			return fmt.Errorf("notice %s: %w", e.Type, err)
		}
		e.Data, e.DataContentType = body, "application/json"
	}
	h, err := e.Encode()
	if err != nil {
		return err
	}
	m := &nats.Msg{Subject: EventSubject(k, kind, what), Header: h, Data: e.Data}
	_, err = b.js.PublishMsg(ctx, m, jetstream.WithMsgID(e.ID))
	return wrap("notice "+e.Type, err)
}

// TailOptions say which notices are wanted.
type TailOptions struct {
	Function functions.Key // zero: all; a namespace alone: all of it
	Kind     string        // empty: all
	Since    time.Time     // zero: only new ones
	Follow   bool          // go on until the context is done
}

func (o TailOptions) filter() string {
	k := functions.Key{Namespace: orAny(o.Function.Namespace), Name: orAny(o.Function.Name)}
	return EventFilter(k, orAny(o.Kind))
}

// Tail calls f with each notice in order, those since a time first. Without Follow it ends
// with the newest one there is. It returns f's error, or the context's.
func (b *Bus) Tail(ctx context.Context, o TailOptions, f func(Notice) error) error {
	if !o.Follow && o.Since.IsZero() {
		return nil
	}
	conf := jetstream.OrderedConsumerConfig{FilterSubjects: []string{o.filter()}, DeliverPolicy: jetstream.DeliverNewPolicy}
	if !o.Since.IsZero() {
		conf.DeliverPolicy, conf.OptStartTime = jetstream.DeliverByStartTimePolicy, &o.Since
	}
	c, err := b.js.OrderedConsumer(ctx, StreamEvents, conf)
	if err != nil {
		return wrap("tail", err)
	}
	if !o.Follow && c.CachedInfo().NumPending == 0 {
		return nil
	}
	it, err := c.Messages()
	if err != nil {
		return wrap("tail", err)
	}
	defer it.Stop()
	return tail(ctx, it, o.Follow, f)
}

func tail(ctx context.Context, it jetstream.MessagesContext, follow bool, f func(Notice) error) error {
	for {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return wrap("tail", err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return wrap("tail", err)
		}
		n, err := parseNotice(m.Subject(), m.Headers(), m.Data(), meta.Sequence.Stream)
		if err != nil {
			return err
		}
		if err := f(n); err != nil {
			return err
		}
		if !follow && meta.NumPending == 0 {
			return nil
		}
	}
}

func parseNotice(subject string, h Header, data []byte, seq uint64) (Notice, error) {
	k, kind, what, err := ParseEvent(subject)
	if err != nil {
		return Notice{}, err
	}
	e, err := Decode(h, data)
	if err != nil {
		return Notice{}, err
	}
	return Notice{Key: k, Kind: kind, What: what, At: e.Time, ID: e.ID, Seq: seq, Data: e.Data}, nil
}

// token tells whether a word can stand in a subject.
func token(s string) bool {
	return s != "" && len(s) <= maxIDToken && IDToken(s) == s && !IsHashedID(s)
}
