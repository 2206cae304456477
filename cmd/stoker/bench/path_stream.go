package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"stoker.dev/stoker/events"
)

const (
	// streamPath is where the backend streams.
	streamPath = "/stream"
	// streamsPerRound of each way: with the least of five rounds still a hundred samples.
	streamsPerRound = 20
)

// StreamingReport compares answers in chunks, one caller and one stream at a time: as
// server-sent events from the backend, over the platform's HTTP port, and as messages.
type StreamingReport struct {
	Chunks int                     `json:"chunks"` // of one stream
	Ways   map[string]StreamingWay `json:"ways"`
}

// StreamingWay is what was measured of streams that came one way.
type StreamingWay struct {
	FirstChunk Quantiles `json:"first_chunk_ms"`
	ChunksRate float64   `json:"chunks_per_s"` // median of the streams, first request to last chunk
	Samples    int       `json:"samples"`      // streams
}

// streamed is one stream: when its first chunk came, and how long it took.
type streamed struct{ first, whole time.Duration }

// streamWay reads one stream to its end and calls chunk for each piece.
type streamWay struct {
	name string
	read func(ctx context.Context, chunk func([]byte)) error
}

func (w *pathWorld) streaming(ctx context.Context) (StreamingReport, error) {
	ways := []streamWay{
		{wayDirect, func(ctx context.Context, chunk func([]byte)) error {
			return w.readSSE(ctx, strings.TrimSuffix(w.backend, "/")+streamPath, chunk)
		}},
		{"http", func(ctx context.Context, chunk func([]byte)) error {
			return w.readSSE(ctx, w.functionURL()+streamPath, chunk)
		}},
		{wayStoker, w.readMessages},
	}
	got := map[string][]streamed{}
	for round := range w.o.Rounds {
		for i := range ways {
			way := ways[(round+i)%len(ways)]
			for range streamsPerRound {
				s, err := readStream(ctx, way)
				if err != nil {
					return StreamingReport{}, fmt.Errorf("stream, %s: %w", way.name, err)
				}
				got[way.name] = append(got[way.name], s)
			}
		}
	}
	return reportStreaming(got), nil
}

func reportStreaming(got map[string][]streamed) StreamingReport {
	rep := StreamingReport{Chunks: streamChunks, Ways: map[string]StreamingWay{}}
	for name, streams := range got {
		var firsts []time.Duration
		var rates []float64
		for _, s := range streams {
			firsts = append(firsts, s.first)
			rates = append(rates, streamChunks/s.whole.Seconds())
		}
		rep.Ways[name] = StreamingWay{FirstChunk: quantiles(firsts), ChunksRate: median(rates), Samples: len(streams)}
	}
	return rep
}

// readStream counts the bytes, since a reader may get several events at once.
func readStream(ctx context.Context, way streamWay) (streamed, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var s streamed
	size := 0
	began := time.Now()
	err := way.read(ctx, func(p []byte) {
		if s.first == 0 {
			s.first = time.Since(began)
		}
		size += len(p)
	})
	s.whole = time.Since(began)
	if want := streamChunks * len(streamChunk); err == nil && size != want {
		err = fmt.Errorf("%w: %d bytes, want %d", errAnswer, size, want)
	}
	return s, err
}

func (w *pathWorld) readSSE(ctx context.Context, url string, chunk func([]byte)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(w.payload))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	resp, err := w.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", errAnswer, resp.Status)
	}
	_, err = io.Copy(writerFunc(chunk), resp.Body)
	return err
}

type writerFunc func([]byte)

// Write implements [io.Writer].
func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

// readMessages invokes with ce-stream and reads the messages that come to the inbox.
func (w *pathWorld) readMessages(ctx context.Context, chunk func([]byte)) error {
	c := w.callers[0]
	m := &events.Msg{Subject: events.InvokeSubject(pathKey), Reply: c.inbox.Subject, Data: w.payload, Header: events.Header{
		"ce-stream": {"true"}, "ce-path": {streamPath}, "Content-Type": {"application/json"},
	}}
	if err := w.client.Conn().PublishMsg(m); err != nil {
		return err
	}
	for {
		got, err := c.inbox.NextMsgWithContext(ctx)
		if err != nil {
			return err
		}
		switch status := got.Header.Get(events.HeaderStatus); {
		case status == "":
			chunk(got.Data)
		case status == string(events.StatusOK):
			return nil
		default:
			return fmt.Errorf("%w: status %s: %.200s", errAnswer, status, got.Data)
		}
	}
}
