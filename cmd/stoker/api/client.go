package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/cost"
)

// Client speaks to a platform's HTTP port.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// NewClient makes a client of the platform at base, such as http://127.0.0.1:8080. A nil hc is
// a client without a timeout of its own: every call has a context.
func NewClient(base, token string, hc *http.Client) *Client {
	if hc == nil {
		hc = &http.Client{}
	}
	return &Client{strings.TrimRight(base, "/"), token, hc}
}

// List returns the functions of a namespace, or of all with "".
func (c *Client) List(ctx context.Context, namespace string) ([]Function, error) {
	var out []Function
	err := c.call(ctx, http.MethodGet, "functions", url.Values{"namespace": {namespace}}, nil, &out)
	return out, err
}

// Get returns one function.
func (c *Client) Get(ctx context.Context, k functions.Key) (Function, error) {
	var out Function
	err := c.call(ctx, http.MethodGet, functionPath(k, ""), nil, nil, &out)
	return out, err
}

// Apply deploys the manifests in data. An invalid one is an [Error] whose message lists all
// that is wrong, each with file, line and field.
func (c *Client) Apply(ctx context.Context, file string, data []byte, dryRun bool) ([]Applied, error) {
	q := url.Values{"file": {file}}
	if dryRun {
		q.Set("dryRun", "1")
	}
	var out []Applied
	err := c.call(ctx, http.MethodPost, "functions", q, data, &out)
	return out, err
}

// Delete begins the end of a function.
func (c *Client) Delete(ctx context.Context, k functions.Key) error {
	return c.call(ctx, http.MethodDelete, functionPath(k, ""), nil, nil, nil)
}

// Explain says why a function is as big as it is.
func (c *Client) Explain(ctx context.Context, k functions.Key) (Explanation, error) {
	var out Explanation
	err := c.call(ctx, http.MethodGet, functionPath(k, "explain"), nil, nil, &out)
	return out, err
}

// Scale pins the number of replicas; nil gives it back to demand.
func (c *Client) Scale(ctx context.Context, k functions.Key, replicas *int) error {
	return c.send(ctx, functionPath(k, "scale"), ScaleRequest{replicas}, nil)
}

// Pause pauses or resumes a function.
func (c *Client) Pause(ctx context.Context, k functions.Key, paused bool) error {
	return c.send(ctx, functionPath(k, "pause"), PauseRequest{paused}, nil)
}

// Dead lists dead letters after a sequence, at most limit.
func (c *Client) Dead(ctx context.Context, k functions.Key, after uint64, limit int) ([]DeadLetter, error) {
	q := url.Values{"after": {strconv.FormatUint(after, 10)}, "limit": {strconv.Itoa(limit)}}
	var out []DeadLetter
	err := c.call(ctx, http.MethodGet, functionPath(k, "dead"), q, nil, &out)
	return out, err
}

// Redeem redrives or purges dead letters.
func (c *Client) Redeem(ctx context.Context, k functions.Key, r DeadRequest) (DeadAnswer, error) {
	var out DeadAnswer
	err := c.send(ctx, functionPath(k, "dead"), r, &out)
	return out, err
}

// Platform returns the state of the whole.
func (c *Client) Platform(ctx context.Context) (Platform, error) {
	var out Platform
	err := c.call(ctx, http.MethodGet, "status", nil, nil, &out)
	return out, err
}

// Cost says where the GPU time since a moment went; empty values are the defaults.
func (c *Client) Cost(ctx context.Context, by cost.By, since string) (Cost, error) {
	q := url.Values{}
	for name, value := range map[string]string{"by": string(by), "since": since} {
		if value != "" {
			q.Set(name, value)
		}
	}
	var out Cost
	err := c.call(ctx, http.MethodGet, "cost", q, nil, &out)
	return out, err
}

// Login makes a link that lets a browser in once, within a minute.
func (c *Client) Login(ctx context.Context) (link string, err error) {
	var out Login
	err = c.call(ctx, http.MethodPost, "logins", nil, nil, &out)
	return c.base + out.Path, err
}

// Logs opens the output of a replica; "" is the newest one. The caller closes it.
func (c *Client) Logs(ctx context.Context, k functions.Key, replica string, tail int, follow bool) (io.ReadCloser, error) {
	q := url.Values{"replica": {replica}, "tail": {strconv.Itoa(tail)}}
	if follow {
		q.Set("follow", "1")
	}
	resp, err := c.do(ctx, http.MethodGet, "/api/v1/"+functionPath(k, "logs"), q, nil, nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// EventFilter chooses events; empty fields choose all.
type EventFilter struct {
	Namespace, Function string
	Since               time.Duration // how far back; 0: from now on when following, all otherwise
	Follow              bool
}

// Events yields what happened, oldest first, until there is no more or, following, ctx ends.
func (c *Client) Events(ctx context.Context, f EventFilter) iter.Seq2[Event, error] {
	q := url.Values{"namespace": {f.Namespace}, "function": {f.Function}, "since": {f.Since.String()}}
	if f.Follow {
		q.Set("follow", "1")
	}
	return func(yield func(Event, error) bool) {
		resp, err := c.do(ctx, http.MethodGet, "/api/v1/events", q, nil, nil)
		if err != nil {
			yield(Event{}, err)
			return
		}
		defer resp.Body.Close()
		dec := json.NewDecoder(resp.Body)
		for {
			var e Event
			err := dec.Decode(&e)
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				return
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Call is one request to a function.
type Call struct {
	Key         functions.Key
	Path        string // on the model server, such as /v1/chat/completions; "" is the function's own
	Body        []byte
	ContentType string
	Class       functions.Class // "" is interactive
	Timeout     time.Duration   // 0 is the function's own deadline
	ID          string          // "" lets the platform choose
	Stream      bool
	Async       bool
}

// Answer is what came back.
type Answer struct {
	ID          string
	Attempt     int
	ContentType string
	Body        []byte // empty where it was streamed
}

// Invoke sends one request. With Stream, chunk is called with every piece as it comes.
func (c *Client) Invoke(ctx context.Context, in Call, chunk func([]byte) error) (Answer, error) {
	q := url.Values{}
	if in.Async {
		q.Set("async", "1")
	}
	path := "/functions/" + in.Key.String() + in.Path
	resp, err := c.do(ctx, http.MethodPost, path, q, bytes.NewReader(in.Body), in.header())
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	attempt, _ := strconv.Atoi(resp.Header.Get("Stoker-Attempt"))
	out := Answer{ID: resp.Header.Get("Stoker-Id"), Attempt: attempt, ContentType: resp.Header.Get("Content-Type")}
	if in.Stream && chunk != nil {
		return out, pieces(resp.Body, chunk)
	}
	out.Body, err = io.ReadAll(resp.Body)
	return out, err
}

func (in Call) header() http.Header {
	h := http.Header{}
	set := func(name, value string) {
		if value != "" {
			h.Set(name, value)
		}
	}
	set("Content-Type", in.ContentType)
	set("Stoker-Class", string(in.Class))
	set("Stoker-Id", in.ID)
	if in.Timeout > 0 {
		set("Stoker-Timeout", in.Timeout.String())
	}
	if in.Stream {
		set("Accept", "text/event-stream")
	}
	return h
}

// pieces hands on what arrives, line by line, so that a server-sent event is never held back.
func pieces(r io.Reader, chunk func([]byte) error) error {
	b := bufio.NewReader(r)
	for {
		line, err := b.ReadBytes('\n')
		if len(line) > 0 {
			if err := chunk(line); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Result reads the terminal record of a request: its status and headers, and the answer where
// the record holds it. With wait it waits that long for one that is not there yet.
func (c *Client) Result(ctx context.Context, k functions.Key, id string, wait time.Duration) (http.Header, []byte, error) {
	q := url.Values{}
	if wait > 0 {
		q.Set("wait", wait.String())
	}
	resp, err := c.do(ctx, http.MethodGet, "/results/"+k.String()+"/"+url.PathEscape(id), q, nil, nil)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.Header, body, err
}

func functionPath(k functions.Key, verb string) string {
	p := "functions/" + url.PathEscape(k.Namespace) + "/" + url.PathEscape(k.Name)
	if verb != "" {
		p += "/" + verb
	}
	return p
}

func (c *Client) send(ctx context.Context, path string, in, out any) error {
	data, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPost, path, nil, data, out)
}

// call is one exchange of the control API.
func (c *Client) call(ctx context.Context, method, path string, q url.Values, body []byte, out any) error {
	resp, err := c.do(ctx, method, "/api/v1/"+path, q, bytes.NewReader(body), http.Header{"Content-Type": {"application/json"}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.base, err)
	}
	return nil
}

func (c *Client) do(ctx context.Context, method, path string, q url.Values, body io.Reader, h http.Header) (*http.Response, error) {
	target := c.base + path
	if len(q) > 0 {
		separator := "?"
		if strings.Contains(path, "?") { // a path on the model server may have a query
			separator = "&"
		}
		target += separator + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	for name, values := range h {
		req.Header[name] = values
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, &Error{Code: 503, Cause: "not-running", Message: "no platform answers at " + c.base, Hint: "`stoker up` starts one"}
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 400 {
		defer resp.Body.Close()
		return nil, decodeError(resp)
	}
	return resp, nil
}

// maxErrorBody bounds how much of an error answer is read.
const maxErrorBody = 1 << 20

// decodeError reads the error of an answer: the platform's own shape {"error": {…}}, or whatever
// a model server sent.
func decodeError(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	var wrapped struct{ Error *Error }
	if json.Unmarshal(body, &wrapped) == nil && wrapped.Error != nil && wrapped.Error.Message != "" {
		if wrapped.Error.Code == 0 {
			wrapped.Error.Code = resp.StatusCode
		}
		return wrapped.Error
	}
	return &Error{Code: resp.StatusCode, Message: strings.TrimSpace(resp.Status + ": " + string(body))}
}
