package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

const (
	queryAsync = "async"
	// headerRoom is what of the broker's limit for a message is left for the headers of a
	// request: its attributes, percent-encoded at worst, and the platform's own.
	headerRoom = 4 * events.MaxAttributes
	// defaultPayload is NATS's own limit, taken while no broker has said another.
	defaultPayload = 1 << 20
)

// bodyLimit is how large the body of a request may be, in bytes.
func (g *Gateway) bodyLimit() int64 {
	limit := g.Bus.Conn().MaxPayload()
	if limit <= 0 {
		limit = defaultPayload
	}
	return max(limit-headerRoom, limit/2)
}

func pathKey(r *http.Request) functions.Key {
	return functions.Key{Namespace: r.PathValue("ns"), Name: r.PathValue("fn")}
}

// serveCall is POST /functions/{ns}/{fn}[/{path}].
func (g *Gateway) serveCall(w http.ResponseWriter, r *http.Request) {
	began := g.Now()
	if !g.door.enter() {
		writeRefusal(w, draining())
		return
	}
	defer g.door.leave()
	g.metrics.inFlight.Inc()
	defer g.metrics.inFlight.Dec()
	c, refused := g.httpCall(w, r)
	var rec events.Record
	if refused == nil {
		rec, refused = g.carry(w, r, &c)
	}
	g.metrics.done(c, viaHTTP, refused, rec, g.Now().Sub(began))
}

// httpCall reads and admits a request, and writes the refusal.
func (g *Gateway) httpCall(w http.ResponseWriter, r *http.Request) (call, *refusal) {
	c, refused := g.readCall(w, r)
	if refused == nil {
		refused = g.admit(r.Context(), &c)
	}
	if refused != nil {
		writeRefusal(w, refused)
	}
	return c, refused
}

func (g *Gateway) readCall(w http.ResponseWriter, r *http.Request) (call, *refusal) {
	path, refused := modelPath(r)
	if refused != nil {
		return call{}, refused
	}
	async, refused := boolParam(r.URL.Query(), queryAsync)
	if refused != nil {
		return call{}, refused
	}
	if _, refused := g.look(r.Context(), pathKey(r)); refused != nil {
		return call{}, refused // before the body is read
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, g.bodyLimit()))
	if err != nil {
		return call{}, bodyError(err)
	}
	c, refused := parse(events.Header(r.Header), body, sourceHTTP, g.Now())
	if refused != nil {
		return call{}, refused
	}
	c.key = pathKey(r)
	e := &c.event
	if path != "" {
		e.Path = path
	}
	e.ReplyTo, e.Sync = "", !async
	e.Stream = !async && wantsStream(r.Header.Values("Accept"), *e)
	return c, nil
}

// bodyError tells a body that is too large from a caller that hung up while sending it.
func bodyError(err error) *refusal {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return refusalOf(err)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return refuse(http.StatusRequestTimeout, events.CauseBadRequest, fmt.Sprintf("the body did not arrive within %v", standard.read), "send it faster, or a reference to the data instead")
	}
	return refuse(http.StatusBadRequest, events.CauseBadRequest, "the body could not be read: "+err.Error(), "")
}

// carry stores an admitted request, and answers it.
func (g *Gateway) carry(w http.ResponseWriter, r *http.Request, c *call) (events.Record, *refusal) {
	if !c.event.Sync {
		return events.Record{}, g.async(w, r, *c)
	}
	reply, err := g.Bus.NewCall()
	if err != nil {
		refused := refusalOf(err)
		writeRefusal(w, refused)
		return events.Record{}, refused
	}
	defer reply.Close()
	c.event.ReplyTo = reply.Subject
	ack, err := g.store(r.Context(), c)
	if r.Context().Err() != nil { // it may be stored or not
		g.cancel(c.key, events.RecordID(c.event.ID, c.event.Redrive))
		return events.Record{}, callerGone()
	}
	if err != nil {
		refused := refusalOf(err)
		writeRefusal(w, refused)
		return events.Record{}, refused
	}
	ctx, cancel := context.WithDeadline(r.Context(), g.deadline(*c))
	defer cancel()
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	defer context.AfterFunc(g.stopping, func() { leave(errStopping) })()
	a := &answer{g: g, call: *c, id: ack.ID, again: ack.Duplicate, reply: reply}
	rec, refused := g.respond(ctx, w, a)
	if r.Context().Err() != nil && !ack.Duplicate {
		g.cancel(c.key, ack.ID)
		return rec, callerGone()
	}
	return rec, refused
}

// store publishes an admitted call.
func (g *Gateway) store(ctx context.Context, c *call) (events.PubAck, error) {
	if c.fresh {
		return g.Bus.PublishFresh(ctx, c.event, c.key, c.class)
	}
	return g.Bus.Publish(ctx, c.event, c.key, c.class)
}

func (g *Gateway) respond(ctx context.Context, w http.ResponseWriter, a *answer) (events.Record, *refusal) {
	if a.call.event.Stream {
		return g.stream(ctx, w, a)
	}
	rec, refused := a.collect(ctx)
	switch {
	case errors.Is(context.Cause(ctx), context.Canceled): // the caller went away: nobody reads an answer
	case refused != nil:
		writeAbout(w, a.call.key, a.id)
		writeRefusal(w, refused)
	default:
		writeRecord(w, rec, rec.Code())
	}
	return rec, refused
}

// deadline is when a caller is no longer kept waiting.
func (g *Gateway) deadline(c call) time.Time {
	d := c.event.Deadline
	if d.IsZero() {
		within := c.spec.Queue.Deadline.D()
		if within <= 0 {
			within = functions.DefaultDeadline
		}
		d = g.Now().Add(within)
	}
	return d.Add(g.patience.expire)
}

func (g *Gateway) cancel(k functions.Key, id string) {
	if err := g.Bus.Cancel(k, id); err != nil {
		g.Log.Warn("a caller went away and its request goes on", "function", k.String(), "id", id, "error", err)
	}
}

func callerGone() *refusal {
	const clientClosedRequest = 499 // nginx's code; nobody reads it
	return refuse(clientClosedRequest, events.CauseCancelled, "the caller went away", "")
}

// accepted is the answer to ?async=1.
type accepted struct {
	ID     string `json:"id"`
	Result string `json:"result"` // where the record will be
}

// async stores a request nobody waits for.
func (g *Gateway) async(w http.ResponseWriter, r *http.Request, c call) *refusal {
	// A caller that hangs up now does not know the id, but may send the event again.
	ack, err := g.store(context.WithoutCancel(r.Context()), &c)
	if err != nil {
		refused := refusalOf(err)
		writeRefusal(w, refused)
		return refused
	}
	out := accepted{ID: ack.ID, Result: resultPath(c.key, ack.ID)}
	writeAbout(w, c.key, ack.ID)
	w.Header().Set("Location", out.Result)
	writeJSON(w, http.StatusAccepted, out)
	return nil
}

func resultPath(k functions.Key, id string) string {
	return "/results/" + k.String() + "/" + url.PathEscape(id)
}

// boolParam reads a flag of a query: 1 or true, 0 or false.
func boolParam(q url.Values, name string) (bool, *refusal) {
	text := q.Get(name)
	if text == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		return false, badRequest("?"+name, text, "1, 0, true, false")
	}
	return b, nil
}

// intParam reads a number of a query between 0 and most.
func intParam(q url.Values, name string, standard, most int) (int, *refusal) {
	text := q.Get(name)
	if text == "" {
		return standard, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > most {
		return 0, badRequest("?"+name, text, fmt.Sprintf("a number from 0 to %d", most))
	}
	return n, nil
}

// durationParam reads a duration of a query between 0 and most.
func durationParam(q url.Values, name string, most time.Duration) (time.Duration, *refusal) {
	text := q.Get(name)
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > most {
		return 0, badRequest("?"+name, text, fmt.Sprintf("a duration from 0s to %v, such as 30s", most))
	}
	return d, nil
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		writeRefusal(w, refusalOf(err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write(append(data, '\n')) // a caller that went away reads nothing
}
