package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/functions"
)

// Submissions of training jobs by event.
const (
	// StreamSubmissions keeps submissions until they are answered.
	StreamSubmissions = "STOKER_SUBMISSIONS"
	// MaxSubmissions and MaxSubmissionBytes bound what waits: a sweep of thousands fits, a loop that
	// submits without end does not fill the disk.
	MaxSubmissions     = 100_000
	MaxSubmissionBytes = 256 << 20
	// submissionWait is how long one may take until the broker gives it out again: longer than storing it
	// and starting its workflow take while Temporal is slow.
	submissionWait = 2 * time.Minute
	// submissionPause is the pause before one is tried again that could not be stored.
	submissionPause = time.Second
	// submissionsAtOnce is how many are worked on at a time: each waits for the disk, which takes them together.
	submissionsAtOnce = 64

	submitter = "dispatcher"
	kindJob   = "job"
	submit    = "submit"
)

// AllSubmissions matches where jobs are submitted.
const AllSubmissions = root + "." + kindJob + ".*." + submit

// SubmitSubject is where jobs of a namespace are submitted: a CloudEvent whose data is one or more
// manifests of training jobs, all of which are taken or none.
func SubmitSubject(namespace string) string { return join(kindJob, namespace, submit) }

// ParseSubmit reads a subject of a submission back.
func ParseSubmit(subject string) (namespace string, err error) {
	t, err := split(subject, kindJob, 4)
	if err != nil {
		return "", err
	}
	if t[3] != submit {
		return "", fmt.Errorf("%w: %q, want …%s", ErrSubject, subject, submit)
	}
	return t[2], nil
}

// SubmissionsConfig is the stream of submissions.
func SubmissionsConfig(o StreamOptions) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: StreamSubmissions, Description: "stoker: submissions of training jobs that are not answered yet",
		Subjects: []string{AllSubmissions}, Storage: jetstream.FileStorage, Replicas: o.withDefaults().Replicas,
		Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew,
		MaxMsgs: MaxSubmissions, MaxBytes: MaxSubmissionBytes, Duplicates: DuplicateWindow,
	}
}

// Submission is one event that submits jobs.
type Submission struct {
	Namespace string
	Event     Event
	Stored    time.Time
	Malformed error // what is wrong with the event itself
}

// OnSubmission calls f with every submission, several at a time, until ctx ends. What f returns is the
// answer, sent where the event wants it; with an error the submission is given out again in a moment.
func (b *Bus) OnSubmission(ctx context.Context, f func(context.Context, Submission) (answer any, code int, err error)) error {
	c, err := b.js.CreateOrUpdateConsumer(ctx, StreamSubmissions, jetstream.ConsumerConfig{
		Durable: submitter, AckPolicy: jetstream.AckExplicitPolicy, AckWait: submissionWait, MaxAckPending: 2 * submissionsAtOnce, MaxDeliver: -1,
	})
	if err != nil {
		return wrap("consumer of submissions", err)
	}
	messages, err := c.Messages(jetstream.PullMaxMessages(submissionsAtOnce))
	if err != nil {
		return wrap("read submissions", err)
	}
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	var working sync.WaitGroup
	defer working.Wait()
	room := make(chan struct{}, submissionsAtOnce)
	for {
		m, err := messages.Next()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, jetstream.ErrMsgIteratorClosed):
			return wrap("read submissions", err)
		case err != nil:
			b.log.Warn("submissions not read, trying again", "err", err)
			continue
		}
		room <- struct{}{}
		working.Go(func() {
			defer func() { <-room }()
			b.submission(ctx, m, f)
		})
	}
}

func (b *Bus) submission(ctx context.Context, m jetstream.Msg, f func(context.Context, Submission) (any, int, error)) {
	s, err := submissionOf(m)
	if err != nil {
		b.log.Error("dropped what is no submission", "subject", m.Subject(), "err", err)
		_ = m.Term()
		return
	}
	answer, code, err := f(ctx, s)
	if err != nil {
		b.log.Warn("submission not taken, trying again", "subject", m.Subject(), "id", s.Event.ID, "err", err)
		_ = m.NakWithDelay(submissionPause)
		return
	}
	if s.Event.ReplyTo != "" {
		if err := b.answerSubmission(s.Event.ReplyTo, answer, code); err != nil {
			b.log.Warn("submission not answered", "subject", m.Subject(), "id", s.Event.ID, "err", err)
		}
	}
	if err := m.Ack(); err != nil && ctx.Err() == nil {
		b.log.Warn("submission not acknowledged; it is answered again", "id", s.Event.ID, "err", err)
	}
}

func submissionOf(m jetstream.Msg) (Submission, error) {
	ns, err := ParseSubmit(m.Subject())
	if err != nil {
		return Submission{}, err
	}
	meta, err := m.Metadata()
	if err != nil {
		return Submission{}, err
	}
	s := Submission{Namespace: ns, Stored: meta.Timestamp.UTC()}
	s.Event, s.Malformed = Decode(m.Headers(), m.Data())
	s.Event = s.Event.complete(BareID(StreamSubmissions, meta.Sequence.Stream), s.Stored)
	if !functions.ValidName(ns) && s.Malformed == nil {
		s.Malformed = fmt.Errorf("namespace %q is no name: lower-case letters, digits and \"-\" are allowed", ns)
	}
	return s, nil
}

// submitOK is the code of an answer that is no error.
const submitOK = 200

func (b *Bus) answerSubmission(to string, answer any, code int) error {
	body, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	m := &nats.Msg{Subject: to, Header: nats.Header{"Content-Type": {"application/json"}}, Data: body}
	if code != submitOK {
		m.Header[HeaderErrorCode] = []string{strconv.Itoa(code)}
		m.Header[HeaderError] = []string{"not accepted"}
	}
	return b.reply(to, m)
}
