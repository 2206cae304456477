package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// questions are some that the model was trained on; it answers others, too, in its own way.
var questions = []string{
	"What is a stoker?", "What do you do?", "How do I scale to zero?", "Who are you?", "Hello", "Good morning",
}

// streamed is the question whose answer is shown as it comes.
const streamed = "How do I scale to zero?"

// maxTokens is the longest answer, in characters.
const maxTokens = 100

// chat is the payload of a question, in OpenAI's words.
func chat(question string, seed int, stream bool) ([]byte, error) {
	return json.Marshal(map[string]any{
		"messages":   []map[string]string{{"role": "user", "content": question}},
		"max_tokens": maxTokens, "seed": seed, "stream": stream,
	})
}

// burst publishes the events, waits for all their records, and meanwhile asks for one answer
// that streams.
func (r *run) burst(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	sent := time.Now()
	ids, err := r.publish(ctx)
	if err != nil {
		return err
	}
	var answered atomic.Int64
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() {
			h, _, err := r.client.Result(ctx, r.key, id, answerTimeout)
			if err == nil && h.Get("Stoker-Status") == string(events.StatusOK) {
				answered.Add(1)
			}
		})
	}
	fn, err := r.until(ctx, func(f api.Function) bool { return !firstStarted(f).Receipt.Ready.IsZero() })
	if err != nil {
		return fmt.Errorf("no replica became ready: %w", err)
	}
	r.receipt(fn, sent)
	if err := r.stream(ctx); err != nil {
		return err
	}
	fn, err = r.until(ctx, func(api.Function) bool { return int(answered.Load()) == len(ids) })
	if err != nil {
		return fmt.Errorf("%d of %d answered: %w", answered.Load(), len(ids), err)
	}
	r.receipt(fn, sent) // again: by now with its first byte
	wg.Wait()
	r.report.RequestsAnswered += int(answered.Load())
	r.say("     %d of %d events answered in %.1f s", answered.Load(), len(ids), time.Since(sent).Seconds())
	return nil
}

// source is the CloudEvents source of the burst.
const source = "stoker-demo"

func (r *run) publish(ctx context.Context) ([]string, error) {
	var ids []string
	for i := range r.Requests {
		body, err := chat(questions[i%len(questions)], i, false)
		if err != nil {
			return nil, err
		}
		e := events.Event{
			ID: uuid.NewString(), Source: source, Type: "com.example.prompt.v1", Time: time.Now(),
			DataContentType: "application/json", Data: body,
		}
		if _, err := r.bus.Publish(ctx, e, r.key, functions.Standard); err != nil {
			return nil, fmt.Errorf("publish event %d: %w", i, err)
		}
		ids = append(ids, e.ID)
		r.report.RequestsSent++
	}
	return ids, nil
}

// firstStarted is the replica whose lease was committed first, the one that the first event woke;
// one without an ID where none has said so yet.
func firstStarted(f api.Function) api.Replica {
	var first api.Replica
	for _, x := range f.Replicas {
		at := x.Receipt.Reserved
		if !at.IsZero() && (first.ID == "" || at.Before(first.Receipt.Reserved)) {
			first = x
		}
	}
	return first
}

// receipt reads what the first cold start took. The lease's commit and the publish are on one
// machine, so their wall clocks are one.
func (r *run) receipt(fn api.Function, sent time.Time) {
	x := firstStarted(fn)
	if x.Receipt.Ready.IsZero() {
		return // it went before it was looked at again
	}
	r.report.Receipt = api.ColdStartOf(x.ID, x.Receipt)
	r.report.ColdStartMS = r.report.Receipt.TotalMS
	r.report.EventToStartMS = float64(x.Receipt.Reserved.Sub(sent)) / float64(time.Millisecond)
}

// stream asks for one answer in pieces and prints it as it comes.
func (r *run) stream(ctx context.Context) error {
	body, err := chat(streamed, 1, true)
	if err != nil {
		return err
	}
	fmt.Fprintf(r.Progress, "     streaming: %s -> ", streamed)
	r.report.RequestsSent++
	_, err = r.client.Invoke(ctx, api.Call{Key: r.key, Body: body, ContentType: "application/json", Stream: true}, func(line []byte) error {
		if text := api.ChunkText(line); text != "" {
			r.report.Streamed += text
			r.report.StreamChunks++
			fmt.Fprint(r.Progress, text)
		}
		return nil
	})
	fmt.Fprintln(r.Progress)
	if err != nil {
		return fmt.Errorf("stream an answer: %w", err)
	}
	r.report.RequestsAnswered++
	return nil
}
