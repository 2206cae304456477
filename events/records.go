package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/functions"
)

// DefaultRetention is how long a record is readable where the manifest says nothing.
const DefaultRetention = time.Hour

// minTTL is the shortest time to live the broker keeps for one message; it counts seconds.
const minTTL = time.Second

// recordTries bounds the ids under which a record is tried to be kept. The second one holds
// a hash of the source; a third would need two sources with the same hash.
const recordTries = 4

// A record that must be there is asked for this often, with a pause: in a cluster the copy
// that answers may be a moment behind the one that refused the write.
const (
	existsTries = 20
	existsPause = 10 * time.Millisecond
)

// WriteRecord writes a request's terminal record, readable for the given retention (whole
// seconds; 0: [DefaultRetention]). rec.ID is the request's [Request.RecordID]. It returns
// the record as it is kept: where another source uses the same id, its ID has a suffix.
//
// A request that has a record already gets [ErrRecordExists] and that record: the caller
// acknowledges the request and replies with a copy of it. [ErrResultsFull] means that the
// record is not written, so the request must not be acknowledged. With any other error than
// ErrRecordExists the record comes back as it was given, to be tried again.
func (b *Bus) WriteRecord(ctx context.Context, rec Record, retention time.Duration) (Record, error) {
	given := rec
	rec.key = recordKey(rec.Function, rec.Source, rec.ID, rec.Redrive)
	for try := range recordTries {
		rec.ID = recordCandidate(given.ID, rec.Source, try)
		err := b.createRecord(ctx, rec, retention)
		if errors.Is(err, nats.ErrMaxPayload) {
			rec = b.withoutBody(rec)
			err = b.createRecord(ctx, rec, retention)
		}
		if err == nil {
			return rec, nil
		}
		existing, err := b.existingRecord(ctx, rec, err)
		if err != nil {
			return given, err
		}
		if existing.key == rec.key {
			return existing, fmt.Errorf("%w: %s of %s", ErrRecordExists, rec.ID, rec.Function)
		}
	}
	return given, fmt.Errorf("%w: every record id tried for %s of %s is taken by other sources", ErrConflict, given.ID, given.Function)
}

func recordCandidate(id, source string, try int) string {
	for range try {
		id += "~" + SourceSuffix(source)
	}
	return id
}

// recordKey tells two requests apart that lead to the same record id.
func recordKey(k functions.Key, source, id string, redrive int) string {
	return MsgID(k, source, id, redrive)[:32]
}

func (b *Bus) createRecord(ctx context.Context, rec Record, retention time.Duration) error {
	m := &nats.Msg{Subject: ResultSubject(rec.Function, rec.ID), Header: rec.header(), Data: rec.payload()}
	_, err := b.js.PublishMsg(ctx, m, jetstream.WithMsgTTL(ttl(retention)), jetstream.WithExpectStream(StreamResults))
	return err
}

// ttl rounds up to whole seconds: a record is there at least as long as it was promised.
func ttl(retention time.Duration) time.Duration {
	if retention <= 0 {
		retention = DefaultRetention
	}
	return max(minTTL, (retention + time.Second - 1).Truncate(time.Second))
}

// withoutBody keeps the record of an answer that does not fit into one message.
func (b *Bus) withoutBody(rec Record) Record {
	rec.Message = fmt.Sprintf("the answer of %d bytes is above the broker's limit of %d and was not kept", len(rec.Body), b.nc.MaxPayload())
	rec.Body, rec.ContentType = nil, ""
	return rec
}

func recordError(rec Record, err error) error {
	what := fmt.Sprintf("terminal record %s of %s", rec.ID, rec.Function)
	if fullStream(err) {
		return fmt.Errorf("%w: %s: %w; shorten results.retention, or give %s more room (--records, --record-room)", ErrResultsFull, what, err, StreamResults)
	}
	return wrap(what, err)
}

// existingRecord reads the record that kept another one from being written with err. A full
// stream refuses records that exist, too.
func (b *Bus) existingRecord(ctx context.Context, rec Record, refused error) (Record, error) {
	if !fullSubject(refused) && !fullStream(refused) {
		return Record{}, recordError(rec, refused)
	}
	for range existsTries {
		existing, err := b.readRecord(ctx, rec.Function, rec.ID)
		if err == nil || !errors.Is(err, ErrNotFound) {
			return existing, err
		}
		if fullStream(refused) {
			break
		}
		select {
		case <-ctx.Done():
			return Record{}, ctx.Err()
		case <-time.After(existsPause):
		}
	}
	return Record{}, recordError(rec, refused)
}

// GetRecord reads the terminal record of a request. Where source is given and the id alone
// leads to another source's record, that of the source is looked for. Errors: [ErrNotFound].
func (b *Bus) GetRecord(ctx context.Context, k functions.Key, id, source string) (Record, error) {
	for try := range recordTries {
		rec, err := b.readRecord(ctx, k, recordCandidate(id, source, try))
		if err != nil || source == "" || rec.Source == source {
			return rec, err
		}
	}
	return Record{}, fmt.Errorf("%w: record %s of %s from source %s", ErrNotFound, id, k, source)
}

func (b *Bus) readRecord(ctx context.Context, k functions.Key, id string) (Record, error) {
	m, err := b.lastMsg(ctx, StreamResults, ResultSubject(k, id))
	if err != nil {
		return Record{}, fmt.Errorf("record %s of %s: %w", id, k, err)
	}
	return parseRecord(m.Header, m.Data)
}

// WatchRecord waits for the terminal record of a request, and returns it. It costs one
// ephemeral consumer while it waits, none where the record is there.
func (b *Bus) WatchRecord(ctx context.Context, k functions.Key, id, source string) (Record, error) {
	rec, err := b.GetRecord(ctx, k, id, source)
	if !errors.Is(err, ErrNotFound) {
		return rec, err
	}
	subjects := []string{ResultSubject(k, id)}
	if s := ResultSubject(k, recordCandidate(id, source, 1)); source != "" && s != subjects[0] {
		subjects = append(subjects, s)
	}
	for {
		rec, err := b.watchRecord(ctx, subjects, id, source)
		if !errors.Is(err, errWatchEnded) {
			return rec, err
		}
		// Its consumer went with a broker that restarted; the record may have come meanwhile.
		if rec, err := b.GetRecord(ctx, k, id, source); !errors.Is(err, ErrNotFound) {
			return rec, err
		}
	}
}

// errWatchEnded says that a watch ended before its caller's patience.
var errWatchEnded = errors.New("the watch ended")

// watchRecord is one consumer's watch.
func (b *Bus) watchRecord(ctx context.Context, subjects []string, id, source string) (Record, error) {
	// Whoever has gone meanwhile waits for its creation (five seconds at most): it can be deleted only then.
	c, err := b.js.CreateConsumer(context.WithoutCancel(ctx), StreamResults, jetstream.ConsumerConfig{
		FilterSubjects: subjects, AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, InactiveThreshold: watchForgotten,
	})
	if err != nil {
		return Record{}, wrap("wait for record "+id, err)
	}
	defer b.forgetWatch(ctx, c)
	it, err := c.Messages()
	if err != nil {
		return Record{}, wrap("wait for record "+id, err)
	}
	defer it.Stop()
	for {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil && ctx.Err() == nil {
			return Record{}, fmt.Errorf("%w: %w", errWatchEnded, err)
		}
		if err != nil {
			return Record{}, wrap("wait for record "+id, err)
		}
		rec, err := parseRecord(m.Headers(), m.Data())
		if err != nil || source == "" || rec.Source == source {
			return rec, err
		}
	}
}

// watchForgotten is when the broker deletes the consumer of a watcher that died.
const watchForgotten = time.Minute

// forgetWatch deletes a watcher's consumer: a stream has room for so many, and those of callers
// who have their answer would use it up.
func (b *Bus) forgetWatch(ctx context.Context, c jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := b.js.DeleteConsumer(ctx, StreamResults, c.CachedInfo().Name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		b.log.Debug("consumer of a watched record not deleted", "error", err)
	}
}

// errorBody is the answer of a request that failed, on the wire and in its record.
type errorBody struct {
	Error struct {
		Code       int    `json:"code"`
		Cause      string `json:"cause,omitempty"`
		Message    string `json:"message"`
		Hint       string `json:"hint,omitempty"`
		RetryAfter int    `json:"retryAfterSeconds,omitempty"`
	} `json:"error"`
}

// payload is the answer, or says in JSON why there is none.
func (r Record) payload() []byte {
	if len(r.Body) > 0 || r.Status == StatusOK {
		return r.Body
	}
	return r.ErrorBody()
}

// ErrorBody is the JSON that answers a request which ended without a result.
func (r Record) ErrorBody() []byte {
	var body errorBody
	body.Error.Code = r.Code()
	body.Error.Cause = r.Cause
	body.Error.Message = r.Message
	body.Error.Hint = r.hint()
	body.Error.RetryAfter = r.RetryAfter
	if body.Error.Message == "" {
		body.Error.Message = fmt.Sprintf("the request ended with status %s", r.Status)
	}
	data, err := json.Marshal(body)
	if err != nil {
		return []byte(`{"error":{"code":500,"message":"unprintable error"}}`)
	}
	return data
}

// Code is the HTTP status code of the record.
func (r Record) Code() int {
	switch r.Status {
	case StatusOK:
		return 200
	case StatusExpired:
		return 504
	case StatusShed:
		return 429
	default:
		return r.errorCode()
	}
}

func (r Record) errorCode() int {
	switch r.Cause {
	case CauseBadRequest:
		if r.Backend >= 400 && r.Backend < 500 {
			return r.Backend // the model server says it better
		}
		return 400
	case CauseDeleted:
		return 404
	case CauseCancelled:
		return 499
	case CauseCrashLoop, CauseNeverReady, CauseSpawnFailed:
		return 503
	default:
		return 502
	}
}

// hint says what to do next.
func (r Record) hint() string {
	switch {
	case r.Status == StatusExpired:
		return "give a later ce-deadline, or more replicas (scaling.max)"
	case r.Status == StatusShed:
		return "try again later, or raise queue.depth or scaling.max"
	case r.Cause == CauseBadRequest:
		return "correct the event and publish it under a new id"
	case r.Cause == CauseDeleted:
		return "stoker get shows the functions that are deployed"
	case r.Cause == CauseCrashLoop, r.Cause == CauseNeverReady, r.Cause == CauseSpawnFailed, r.Cause == CauseAttemptsSpent:
		return "stoker explain " + r.Function.String()
	default:
		return ""
	}
}
