package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// snapshotChunk and snapshotWindow are how much of a snapshot goes in one message and
	// ahead of what was taken, in bytes. The window stays below what a connection may hold
	// back before it counts as slow.
	snapshotChunk  = 256 << 10
	snapshotWindow = 4 << 20
	// snapshotPause is the longest pause between two chunks: the broker gives up after five
	// seconds itself.
	snapshotPause = 15 * time.Second
	// restorePatience bounds the broker's work on a snapshot that it has received.
	restorePatience = 10 * time.Minute
)

// SnapshotStreams lists the platform's streams in the order in which snapshots of a running
// platform fit together. A request leaves its queue only once its record is written, so queues
// come first: then a request is in its queue's snapshot or its record in that of the records, or
// both, and never in neither. What is deployed comes last, so that every function has what it had.
func (b *Bus) SnapshotStreams(ctx context.Context) ([]string, error) {
	var first, rest []string
	last := bucketStream(BucketFunctions)
	names := b.js.StreamNames(ctx)
	found := false
	for name := range names.Name() {
		switch {
		case isShard(name):
			first = append(first, name)
		case name == last:
			found = true
		default:
			rest = append(rest, name)
		}
	}
	if err := names.Err(); err != nil {
		return nil, wrap("list the streams", err)
	}
	if !found {
		return nil, fmt.Errorf("%w: stream %s", ErrNotFound, last)
	}
	return append(append(first, rest...), last), nil
}

func isShard(stream string) bool {
	for shard := range Shards {
		if stream == ShardStream(shard) {
			return true
		}
	}
	return false
}

// LastSequence is the number of the newest message a stream was given.
func (b *Bus) LastSequence(ctx context.Context, stream string) (uint64, error) {
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return 0, wrap("stream "+stream, err)
	}
	return s.CachedInfo().State.LastSeq, nil
}

// StreamMeta is what the broker wants to know of a stream before its snapshot: configuration and
// state, in the form that `nats stream backup` keeps as backup.json.
type StreamMeta struct {
	Config json.RawMessage `json:"config"`
	State  json.RawMessage `json:"state"`
}

// Snapshot writes the messages of a stream, as they are now, to a file, while the stream is in
// use. It is the broker's own format, stream.arc.s2 of `nats stream backup`. Consumers are left
// out: they are made again, and what they had delivered is delivered again.
func (b *Bus) Snapshot(ctx context.Context, stream string, w io.Writer) (StreamMeta, error) {
	meta, err := b.snapshot(ctx, stream, w)
	if err != nil {
		return meta, fmt.Errorf("snapshot of stream %s: %w", stream, err)
	}
	return meta, nil
}

func (b *Bus) snapshot(ctx context.Context, stream string, w io.Writer) (StreamMeta, error) {
	inbox := b.nc.NewInbox()
	sub, err := b.nc.SubscribeSync(inbox)
	if err != nil {
		return StreamMeta{}, wrap("subscribe", err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // 2026-11-27: it ends with its connection at the latest
	var answer struct {
		StreamMeta
		apiAnswer
	}
	err = b.api(ctx, "STREAM.SNAPSHOT."+stream, map[string]any{
		"deliver_subject": inbox, "no_consumers": true, "chunk_size": snapshotChunk, "window_size": snapshotWindow,
	}, &answer)
	if err != nil {
		return StreamMeta{}, err
	}
	for {
		m, err := nextChunk(ctx, sub)
		if err != nil {
			return StreamMeta{}, err
		}
		if len(m.Data) == 0 {
			return answer.StreamMeta, ended(m)
		}
		if _, err := w.Write(m.Data); err != nil {
			return StreamMeta{}, err
		}
		if m.Reply == "" {
			continue // the last chunk wants no answer
		}
		if err := m.Respond(nil); err != nil {
			return StreamMeta{}, wrap("acknowledge a chunk", err)
		}
	}
}

func nextChunk(ctx context.Context, sub *nats.Subscription) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, snapshotPause, fmt.Errorf("nothing more came within %s", snapshotPause))
	defer cancel()
	m, err := sub.NextMsgWithContext(ctx)
	if err != nil {
		return nil, wrap("receive it", errors.Join(err, context.Cause(ctx)))
	}
	return m, nil
}

// ended reads the status that ends a snapshot; none, or one of success, is its good end.
func ended(m *nats.Msg) error {
	if status := m.Header.Get("Status"); status != "" && !strings.HasPrefix(status, "2") {
		return fmt.Errorf("%w: %s %s", ErrSnapshot, status, m.Header.Get("Description"))
	}
	return nil
}

// RestoreStream makes a stream of its snapshot. There may be none of that name.
func (b *Bus) RestoreStream(ctx context.Context, stream string, meta StreamMeta, r io.Reader) error {
	if err := b.restore(ctx, stream, meta, r); err != nil {
		return fmt.Errorf("restore stream %s: %w", stream, err)
	}
	return nil
}

func (b *Bus) restore(ctx context.Context, stream string, meta StreamMeta, r io.Reader) error {
	var answer struct {
		Deliver string `json:"deliver_subject"`
		apiAnswer
	}
	if err := b.api(ctx, "STREAM.RESTORE."+stream, meta, &answer); err != nil {
		return err
	}
	chunk := make([]byte, snapshotChunk)
	for {
		n, err := io.ReadFull(r, chunk)
		if n > 0 {
			if err := b.send(ctx, answer.Deliver, chunk[:n], snapshotPause); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return b.send(ctx, answer.Deliver, nil, restorePatience)
		case err != nil:
			return err
		}
	}
}

// send sends a chunk; an answer with content may be an error.
func (b *Bus) send(ctx context.Context, subject string, chunk []byte, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m, err := b.nc.RequestWithContext(ctx, subject, chunk)
	if err != nil {
		return wrap("send a chunk", err)
	}
	if len(m.Data) == 0 {
		return nil
	}
	var answer apiAnswer
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return fmt.Errorf("read the broker's answer: %w", err)
	}
	return answer.err()
}

// apiAnswer is what every answer of the broker's API has.
type apiAnswer struct {
	Error *jetstream.APIError `json:"error"`
}

func (a apiAnswer) err() error {
	if a.Error == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrSnapshot, a.Error)
}

// api calls the broker's API where the client library does not.
func (b *Bus) api(ctx context.Context, call string, request any, answer interface{ err() error }) error {
	data, err := json.Marshal(request)
	if err != nil {
		return err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	m, err := b.nc.RequestWithContext(ctx, "$JS.API."+call, data)
	if err != nil {
		return wrap("ask for it", err)
	}
	if err := json.Unmarshal(m.Data, answer); err != nil {
		return fmt.Errorf("read the broker's answer: %w", err)
	}
	return answer.err()
}
