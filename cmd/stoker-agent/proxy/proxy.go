package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// idleConn is how long a connection to the model server is kept for the next request.
// uvicorn, which most Python servers run on, closes after 5 s; reusing one while it is
// being closed would fail a request that the server never saw.
const idleConn = 2 * time.Second

// dialTimeout bounds connecting to a server on this machine.
const dialTimeout = 2 * time.Second

// maxHeader bounds the headers of an answer, which nobody downstream sees.
const maxHeader = 64 << 10

// Proxy speaks to one model server. Its methods are safe for concurrent use.
type Proxy struct {
	host      string
	runtime   functions.Runtime
	transport http.RoundTripper
}

// New returns the proxy of the model server on a loopback port that takes slots requests
// at a time.
func New(port int, r functions.Runtime, slots int) *Proxy {
	dial := &net.Dialer{Timeout: dialTimeout}
	return &Proxy{
		host:    net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		runtime: r,
		// Used without a client, which would follow redirects and keep cookies.
		transport: &http.Transport{
			DialContext:            dial.DialContext,
			MaxIdleConns:           slots,
			MaxIdleConnsPerHost:    slots,
			IdleConnTimeout:        idleConn,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeader,
		},
	}
}

// Call is one try of one request.
type Call struct {
	Event events.Event
	Limit int // bytes an answer, or a chunk of it, may have
	// FirstByte is called once, when the answer's headers arrived.
	FirstByte func()
	// Chunk takes the answer piece by piece where the event asks for a stream. It owns the slice.
	Chunk func([]byte) error
}

// Do sends the event and waits for the end of the answer, or of ctx, which is a failure
// too: only the caller knows whose wish it was.
func (p *Proxy) Do(ctx context.Context, c Call) Answer {
	req, err := p.request(ctx, c.Event)
	if err != nil {
		return Answer{Verdict: Refused, Cause: events.CauseBadRequest, Message: err.Error()}
	}
	resp, err := p.transport.RoundTrip(req)
	if err != nil {
		return failed(0, err)
	}
	defer resp.Body.Close()
	if c.FirstByte != nil {
		c.FirstByte()
	}
	if c.Event.Stream && c.Chunk != nil && verdictOf(resp.StatusCode) == Answered {
		return p.stream(resp, c)
	}
	return p.whole(resp, c.Limit)
}

func (p *Proxy) request(ctx context.Context, e events.Event) (*http.Request, error) {
	u, err := target(p.runtime, e)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "", bytes.NewReader(e.Data))
	if err != nil {
		return nil, err
	}
	u.Scheme, u.Host = "http", p.host
	req.URL, req.Host = u, p.host // parsed once
	if p.runtime.Protocol == functions.ProtocolCloudEvents {
		if err := setAttributes(req.Header, e); err != nil {
			return nil, err
		}
	}
	req.Header.Set("Content-Type", e.DataContentType)
	req.Header.Set("X-Request-Id", e.ID)
	if e.TraceParent != "" {
		req.Header.Set("Traceparent", e.TraceParent)
	}
	if e.Stream {
		req.Header.Set("Accept", "text/event-stream, */*;q=0.1")
	}
	return req, nil
}

// setAttributes writes the event's attributes as the HTTP binding's binary mode wants them.
// It shares its encoding with NATS, but for the media type, which is HTTP's own header. The
// reply subject stays here: whoever knows it may answer in our place.
func setAttributes(h http.Header, e events.Event) error {
	e.ReplyTo = ""
	attributes, err := e.Encode()
	if err != nil {
		return err
	}
	for name, values := range attributes {
		if name != "ce-datacontenttype" && len(values) > 0 {
			h.Set(name, values[0])
		}
	}
	return nil
}

func (p *Proxy) whole(resp *http.Response, limit int) Answer {
	body, err := readWhole(resp, limit)
	if err != nil {
		return failed(resp.StatusCode, fmt.Errorf("the answer broke off after %d bytes: %w", len(body), err))
	}
	if len(body) > limit {
		return tooLarge(resp.StatusCode, limit)
	}
	a := Answer{Verdict: verdictOf(resp.StatusCode), Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), Body: body}
	if a.Verdict != Answered {
		a.Cause, a.Message = causeOf(a.Status), statusMessage(a.Status, body)
		return a
	}
	if p.runtime.Protocol == functions.ProtocolOpenAI && !eventStream(resp) && !json.Valid(body) {
		a.Verdict, a.Cause = Failed, events.CauseBackend
		a.Message = fmt.Sprintf("the answer is not JSON, as protocol openai wants: %.*q", snippetBytes, body)
	}
	if p.runtime.Protocol == functions.ProtocolOpenAI {
		a.Usage = usageOf(body)
	}
	return a
}

// readWhole reads an answer, and one byte more than the limit of one that is larger. The body of
// an answer that says how long it is gets its room at once.
func readWhole(resp *http.Response, limit int) ([]byte, error) {
	if resp.ContentLength < 0 || resp.ContentLength > int64(limit) {
		return io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	}
	body := make([]byte, resp.ContentLength)
	n, err := io.ReadFull(resp.Body, body)
	return body[:n], err
}

func (p *Proxy) stream(resp *http.Response, c Call) Answer {
	if !eventStream(resp) {
		return streamed(resp, eachRead(resp.Body, c.Limit, c.Chunk), c.Limit)
	}
	var used Usage
	chunk := c.Chunk
	if p.runtime.Protocol == functions.ProtocolOpenAI {
		chunk = counting(&used, chunk)
	}
	done, err := eachEvent(resp.Body, c.Limit, chunk)
	framed := resp.ContentLength >= 0 || len(resp.TransferEncoding) > 0
	if err == nil && p.runtime.Protocol == functions.ProtocolOpenAI && !framed && !done {
		// Without a length or chunks a dead server looks like one that is done.
		err = fmt.Errorf("the stream ended without %q: %w", doneLine, io.ErrUnexpectedEOF)
	}
	a := streamed(resp, err, c.Limit)
	a.Usage = used
	return a
}

func streamed(resp *http.Response, err error, limit int) Answer {
	switch {
	case errors.Is(err, errTooLarge):
		return tooLarge(resp.StatusCode, limit)
	case err != nil:
		return failed(resp.StatusCode, fmt.Errorf("the stream broke off: %w", err))
	default:
		return Answer{Verdict: Answered, Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type")}
	}
}

func eventStream(resp *http.Response) bool {
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return err == nil && media == "text/event-stream"
}

func failed(status int, err error) Answer {
	return Answer{Verdict: Failed, Status: status, Cause: events.CauseBackend, Message: err.Error(), Broken: true, Unsent: errors.Is(err, syscall.ECONNREFUSED)}
}

func tooLarge(status, limit int) Answer {
	return Answer{Verdict: Refused, Status: status, Cause: CauseTooLarge,
		Message: fmt.Sprintf("the answer is larger than the %d bytes a message may hold; ask for less, or raise the broker's max_payload", limit)}
}
