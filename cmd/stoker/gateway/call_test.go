package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

const fnPath = "/functions/default/tinylm"

func TestPlainCallIsAnswered(t *testing.T) {
	w := newWorld(t)
	w.serve(fn, echo)
	r := w.post(fnPath, `{"prompt":"hi"}`, "Content-Type", "application/json")
	if r.StatusCode != http.StatusOK || r.body != `{"prompt":"hi"}` {
		t.Fatalf("%d %q", r.StatusCode, r.body)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Stoker-Status": "ok", "Stoker-Attempt": "1", "Stoker-Function": "default/tinylm",
		"Stoker-Class": "interactive", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if r.Header.Get("Stoker-Id") == "" {
		t.Error("no id")
	}
}

// TestCallCarriesWhatTheCallerSaid checks what an agent sees of headers, path and query.
func TestCallCarriesWhatTheCallerSaid(t *testing.T) {
	w := newWorld(t)
	seen := make(chan events.Request, 1)
	w.serve(fn, func(r events.Request) (string, []byte) { seen <- r; return "text/plain", nil })
	deadline := time.Now().Add(time.Minute).UTC().Truncate(time.Second)
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	r := w.post(fnPath+"/v1/chat/completions?beta=a%2Fb&async=0", `{"a":1}`, "Stoker-Class", "batch", "Stoker-Id", "my-id",
		"Stoker-Deadline", deadline.Format(time.RFC3339), "Traceparent", trace, "Content-Type", "application/x-www-form-urlencoded")
	if r.StatusCode != http.StatusOK || r.Header.Get("Stoker-Id") != "my-id" {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	got := next(t, "the request", seen)
	e := got.Event
	if got.Class != functions.Batch || e.ID != "my-id" || e.Source != "http" || e.Path != "/v1/chat/completions?beta=a%2Fb" ||
		!e.Deadline.Equal(deadline) || e.TraceParent != trace || !e.Sync || e.Stream || e.DataContentType != "application/json" {
		t.Errorf("%s %+v", got.Class, e)
	}
	if !strings.HasPrefix(e.ReplyTo, "_R.") {
		t.Errorf("reply to %q", e.ReplyTo)
	}
}

func TestCloudEventsOverHTTP(t *testing.T) {
	w := newWorld(t)
	seen := make(chan events.Event, 2)
	w.serve(fn, func(r events.Request) (string, []byte) { seen <- r.Event; return "text/plain", []byte("x") })
	binary := w.post(fnPath, "payload", "Ce-Specversion", "1.0", "Ce-Id", "b 1", "Ce-Source", "/s%20s", "Ce-Type", "t.v1",
		"Ce-Color", "gr%C3%BCn", "Ce-Replyto", "_INBOX.evil", "Ce-Sync", "false", "Content-Type", "text/csv")
	if binary.StatusCode != http.StatusOK {
		t.Fatal(binary.body)
	}
	e := next(t, "the binary event", seen)
	if e.ID != "b 1" || e.Source != "/s s" || e.Extensions["color"] != "grün" || e.DataContentType != "text/csv" || !e.Sync || e.ReplyTo == "_INBOX.evil" {
		t.Errorf("%+v", e)
	}
	structured := w.post(fnPath, `{"specversion":"1.0","id":"s1","source":"s","type":"t","class":"standard","datacontenttype":"application/json","data":{"a":1}}`,
		"Content-Type", "application/cloudevents+json; charset=utf-8")
	if structured.StatusCode != http.StatusOK || structured.Header.Get("Stoker-Class") != "standard" {
		t.Fatal(structured.StatusCode, structured.Header, structured.body)
	}
	if e := next(t, "the structured event", seen); e.ID != "s1" || string(e.Data) != `{"a":1}` {
		t.Errorf("%+v", e)
	}
}

// TestRefusals are answered at once, without an agent, with their code, cause and what to do.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	k := func(name string) functions.Key { return functions.Key{Namespace: "default", Name: name} }
	w.deploy(k("going"), func(a *api.Admission) { a.Deleting = true })
	w.deploy(k("broken"), func(a *api.Admission) {
		a.Failing, a.RetryAfterSeconds = &api.Failure{Cause: "crashed", Message: "line one\nCUDA out of memory\n"}, 8
	})
	w.control.admissions.Store(k("ghost"), api.Admission{Spec: functions.Default(functions.Function{}).Spec, Shard: testShard})
	for _, c := range []struct {
		name, path, body string
		header           []string
		code             int
		cause, says      string
		retry            string
	}{
		{"unknown", "/functions/default/tinylmm", "x", nil, 404, "not-found", "did you mean default/tinylm?", ""},
		{"unlike any", "/functions/default/zebra", "x", nil, 404, "not-found", "stoker get", ""},
		{"deleting", "/functions/default/going", "x", nil, 404, "function-deleted", "being deleted", ""},
		{"failing", "/functions/default/broken", "x", nil, 503, "crash-loop", "CUDA out of memory", "8"},
		{"not at the broker", "/functions/default/ghost", "x", nil, 404, "not-found", "not deployed", ""},
		{"class", fnPath, "x", []string{"Stoker-Class", "urgent"}, 400, "bad-request", "interactive, standard, batch", ""},
		{"timeout", fnPath, "x", []string{"Stoker-Timeout", "-3s"}, 400, "bad-request", "30s", ""},
		{"deadline", fnPath, "x", []string{"Stoker-Deadline", "tomorrow"}, 400, "bad-request", "RFC 3339", ""},
		{"past", fnPath, "x", []string{"Stoker-Deadline", "2020-01-01T00:00:00Z"}, 504, "deadline", "passed already", ""},
		{"async", fnPath + "?async=maybe", "x", nil, 400, "bad-request", "?async", ""},
		{"event", fnPath, "x", []string{"Ce-Id", "1"}, 400, "bad-request", "specversion", ""},
		{"id of a bare payload", fnPath, "x", []string{"Stoker-Id", "STOKER_FN_00-7"}, 400, "bad-request", "choose another id", ""},
		{"event with the id of a bare payload", fnPath, "x", []string{"Ce-Specversion", "1.0", "Ce-Id", "STOKER_FN_00-7", "Ce-Source", "s", "Ce-Type", "t"}, 400, "bad-request", "choose another id", ""},
		{"structured", fnPath, "{", []string{"Content-Type", "application/cloudevents+json"}, 400, "bad-request", "JSON", ""},
		{"batch", fnPath, "[]", []string{"Content-Type", "application/cloudevents-batch+json"}, 400, "bad-request", "application/cloudevents+json", ""},
		{"large", fnPath, strings.Repeat("x", 2<<20), nil, 413, "too-large", "larger than", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := w.post(c.path, c.body, c.header...)
			e := r.failure(t)
			if r.StatusCode != c.code || e.Code != c.code || e.Cause != c.cause || !strings.Contains(e.Message+e.Hint, c.says) || r.Header.Get("Retry-After") != c.retry {
				t.Errorf("%d %v %s", r.StatusCode, r.Header, r.body)
			}
			if r.Header.Get("Stoker-Status") == "" || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("headers %v", r.Header)
			}
		})
	}
	if orders := w.control.noted(); !slices.Equal(orders, []string{"refused default/broken"}) {
		t.Errorf("the controller heard %q", orders)
	}
	if pending, err := w.bus.PendingOf(w.ctx(), fn, testShard); err != nil || len(pending) != 0 {
		t.Errorf("stored %v, %v", pending, err)
	}
}

// TestStatusCodes: how a request ended is the HTTP status.
func TestStatusCodes(t *testing.T) {
	w := newWorld(t)
	ends := make(chan events.Record, 1)
	w.agent(fn, func(a *agent, d *events.Delivery) {
		end := <-ends
		rec := d.Request.Record(end.Status, end.Cause, end.Message)
		rec.Body, rec.ContentType, rec.RetryAfter, rec.Backend = end.Body, end.ContentType, end.RetryAfter, end.Backend
		a.end(d, rec, nil)
	})
	for _, c := range []struct {
		rec  events.Record
		code int
		says string
	}{
		{events.Record{Status: events.StatusExpired, Cause: events.CauseDeadline, Message: "late"}, 504, "late"},
		{events.Record{Status: events.StatusShed, Cause: events.CauseQueueFull, Message: "full", RetryAfter: 4}, 429, "full"},
		{events.Record{Status: events.StatusError, Cause: events.CauseAttemptsSpent, Message: "three times"}, 502, "three times"},
		{events.Record{Status: events.StatusError, Cause: events.CauseBadRequest, Body: []byte(`{"error":{"message":"no such model"}}`), ContentType: "application/json"}, 400, "no such model"},
		{events.Record{Status: events.StatusError, Cause: events.CauseBadRequest, Backend: 422, Body: []byte(`{"error":{"message":"too long"}}`), ContentType: "application/json"}, 422, "too long"},
		{events.Record{Status: events.StatusError, Cause: events.CauseCrashLoop, Message: "again and again"}, 503, "again and again"},
		{events.Record{Status: events.StatusError, Cause: events.CauseDeleted, Message: "gone"}, 404, "gone"},
	} {
		ends <- c.rec
		r := w.post(fnPath, "x")
		if e := r.failure(t); r.StatusCode != c.code || e.Message != c.says || r.Header.Get("Stoker-Cause") != c.rec.Cause {
			t.Errorf("%+v: %d %v %s", c.rec, r.StatusCode, r.Header, r.body)
		}
		if retry := r.Header.Get("Retry-After"); (c.rec.RetryAfter > 0) != (retry == "4") {
			t.Errorf("Retry-After %q", retry)
		}
	}
}

// TestAnswerIsNoPage: what a model says never becomes a page that runs in Temporal's origin.
func TestAnswerIsNoPage(t *testing.T) {
	w := newWorld(t)
	w.serve(fn, func(events.Request) (string, []byte) {
		return "text/html\r\nX-Evil: 1", []byte("<script>alert(1)</script>")
	})
	r := w.post(fnPath, "x")
	if r.Header.Get("X-Evil") != "" || r.Header.Get("Content-Security-Policy") != "sandbox" {
		t.Errorf("%v", r.Header)
	}
}

func TestAsyncIsAcceptedAndItsRecordRead(t *testing.T) {
	w := newWorld(t)
	r := w.post(fnPath+"?async=1", `{"a":1}`, "Stoker-Id", "a/b c", "Stoker-Class", "standard")
	var out accepted
	if err := json.Unmarshal([]byte(r.body), &out); err != nil || r.StatusCode != http.StatusAccepted || out.ID != "a/b c" || out.Result != r.Header.Get("Location") {
		t.Fatalf("%d %v %s %v", r.StatusCode, r.Header, r.body, err)
	}
	if early := w.get(out.Result); early.StatusCode != http.StatusNotFound || !strings.Contains(early.failure(t).Hint, "?wait") {
		t.Errorf("before it ended: %d %s", early.StatusCode, early.body)
	}
	waiting := make(chan reply, 1)
	go func() { waiting <- w.get(out.Result + "?wait=20s") }()
	w.serve(fn, echo)
	got := next(t, "the long poll", waiting)
	if got.StatusCode != http.StatusOK || got.body != `{"a":1}` || got.Header.Get("Stoker-Status") != "ok" || got.Header.Get("Stoker-Id") != "a/b c" {
		t.Errorf("%d %v %q", got.StatusCode, got.Header, got.body)
	}
	if again := w.get(out.Result + "?source=http"); again.StatusCode != http.StatusOK || again.body != `{"a":1}` {
		t.Errorf("again: %d %s", again.StatusCode, again.body)
	}
	if other := w.get(out.Result + "?source=elsewhere"); other.StatusCode != http.StatusNotFound {
		t.Errorf("another source's: %d %s", other.StatusCode, other.body)
	}
}

func TestResultsThatAreNot(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]int{
		"/results/default/tinylm/none":          404,
		"/results/default/tinylm/none?wait=1ms": 404,
		"/results/default/tinylmm/none":         404,
		"/results/default/tinylm/none?wait=9x":  400,
		"/results/default/tinylm/none?wait=99h": 400,
	} {
		if r := w.get(path); r.StatusCode != want || r.failure(t).Code != want {
			t.Errorf("%s: %d %s", path, r.StatusCode, r.body)
		}
	}
	if e := w.get("/results/default/tinylmm/none").failure(t); e.Hint != "did you mean default/tinylm?" {
		t.Errorf("hint %q", e.Hint)
	}
}

// TestResultOfAFailedRequestIsReadable: the record is there, so reading it is no error.
func TestResultOfAFailedRequestIsReadable(t *testing.T) {
	w := newWorld(t)
	rec := events.Record{ID: "x", Source: "s", Function: fn, Status: events.StatusError, Cause: events.CauseAttemptsSpent, Message: "dead", Ended: time.Now()}
	_, err := w.bus.WriteRecord(w.ctx(), rec, time.Hour)
	must(t, err)
	r := w.get("/results/default/tinylm/x")
	if r.StatusCode != http.StatusOK || r.Header.Get("Stoker-Status") != "error" || r.Header.Get("Stoker-Cause") != events.CauseAttemptsSpent || r.failure(t).Message != "dead" {
		t.Errorf("%d %v %s", r.StatusCode, r.Header, r.body)
	}
}

// TestSameEventTwice: the second caller gets the record of the first one's request, and is
// told where the record does not hold the answer.
func TestSameEventTwice(t *testing.T) {
	for _, whole := range []bool{true, false} {
		w := newWorld(t)
		w.deploy(fn, func(a *api.Admission) {
			if whole {
				a.Spec.Results.Record = functions.RecordWhole
			}
		})
		begun, release := make(chan struct{}), make(chan struct{})
		a := w.agent(fn, func(a *agent, d *events.Delivery) {
			close(begun)
			<-release
			rec := d.Request.Record(events.StatusOK, "", "")
			rec.Body, rec.ContentType = []byte("the answer"), "text/plain"
			if whole {
				d.Request.Event.Sync = false // keeps the answer, as the manifest says
			}
			a.end(d, rec, nil)
		})
		answers := make(chan reply, 2)
		ask := func() { answers <- w.post(fnPath, "x", "Stoker-Id", "same") }
		go ask()
		next(t, "the first one's request", begun)
		go ask()
		close(release)
		codes := map[int]string{}
		for range 2 {
			r := next(t, "an answer", answers)
			codes[r.StatusCode] = r.body
		}
		if n := a.served.Load(); n != 1 {
			t.Errorf("served %d times", n)
		}
		if codes[200] != "the answer" || (!whole && readFailure(t, codes[410]).Cause != causeNotKept) || (whole && len(codes) != 1) {
			t.Errorf("whole %t: %v", whole, codes)
		}
	}
}

// TestLostReplyIsFoundInTheRecord: an agent killed between record and reply loses no caller.
func TestLostReplyIsFoundInTheRecord(t *testing.T) {
	w := newWorld(t)
	w.agent(fn, func(a *agent, d *events.Delivery) {
		d.Request.Event.ReplyTo = ""
		a.end(d, d.Request.Record(events.StatusError, events.CauseAttemptsSpent, "it never worked"), nil)
	})
	r := w.post(fnPath, "x")
	if r.StatusCode != http.StatusBadGateway || r.failure(t).Message != "it never worked" {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
}

// TestCopyOfARecordIsNoEmptyAnswer: an agent that died before it replied leaves a record that
// says "ok" and holds no answer; the next agent replies with a copy of it.
func TestCopyOfARecordIsNoEmptyAnswer(t *testing.T) {
	for _, empty := range []bool{true, false} {
		w := newWorld(t)
		w.agent(fn, func(a *agent, d *events.Delivery) {
			rec := d.Request.Record(events.StatusOK, "", "")
			rec.Copy = !empty
			a.end(d, rec, nil)
		})
		r := w.post(fnPath, "x")
		if empty && (r.StatusCode != http.StatusOK || r.body != "") || !empty && (r.StatusCode != http.StatusGone || r.failure(t).Cause != causeNotKept) {
			t.Errorf("empty %t: %d %s", empty, r.StatusCode, r.body)
		}
	}
}

func TestDeadlineEndsTheWait(t *testing.T) {
	w := newWorld(t) // nobody serves
	r := w.post(fnPath, "x", "Stoker-Timeout", "50ms", "Stoker-Id", "late")
	if e := r.failure(t); r.StatusCode != http.StatusGatewayTimeout || e.Cause != events.CauseDeadline || !strings.Contains(e.Hint, "/results/default/tinylm/late") || r.Header.Get("Stoker-Id") != "late" {
		t.Errorf("%d %v %s", r.StatusCode, r.Header, r.body)
	}
}

func TestCallerThatGoesAwayCancels(t *testing.T) {
	w := newWorld(t)
	begun := make(chan struct{})
	end := make(chan struct{})
	a := w.agent(fn, func(a *agent, d *events.Delivery) { close(begun); <-end })
	defer close(end)
	ctx, hangUp := context.WithCancel(w.ctx())
	done := make(chan error, 1)
	go func() {
		resp, err := w.server.Client().Do(w.request(ctx, http.MethodPost, fnPath, "x", "Stoker-Id", "unwanted"))
		if err == nil {
			resp.Body.Close()
		}
		done <- err
	}()
	next(t, "the request", begun)
	hangUp()
	if err := next(t, "the caller", done); err == nil {
		t.Error("the caller was answered")
	}
	if id := next(t, "the cancellation", a.cancelled); id != "unwanted" {
		t.Errorf("cancelled %q", id)
	}
}

func TestDrain(t *testing.T) {
	w := newWorld(t)
	begun, release := make(chan struct{}), make(chan struct{})
	w.serve(fn, func(events.Request) (string, []byte) {
		close(begun)
		<-release
		return "text/plain", []byte("finished")
	})
	answers := make(chan reply, 1)
	go func() { answers <- w.post(fnPath, "x") }()
	next(t, "the request in flight", begun)
	short, cancel := context.WithTimeout(w.ctx(), 10*time.Millisecond)
	defer cancel()
	if err := w.gateway.Drain(short); err == nil || !strings.Contains(err.Error(), "1 request(s)") {
		t.Errorf("drain with one in flight: %v", err)
	}
	r := w.post(fnPath, "x")
	if e := r.failure(t); r.StatusCode != http.StatusServiceUnavailable || e.Cause != causeDraining || r.Header.Get("Retry-After") == "" {
		t.Errorf("while draining: %d %s", r.StatusCode, r.body)
	}
	if ready := w.get("/readyz"); ready.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("readyz: %d", ready.StatusCode)
	}
	drained := make(chan error, 1)
	go func() { drained <- w.gateway.Drain(w.ctx()) }()
	close(release)
	if r := next(t, "the one in flight", answers); r.StatusCode != http.StatusOK || r.body != "finished" {
		t.Errorf("%d %q", r.StatusCode, r.body)
	}
	if err := next(t, "the end of the drain", drained); err != nil {
		t.Error(err)
	}
}

// TestStopSendsCallersAway: who waits for an answer when the platform ends is told so, and where
// the answer will be; the request stays stored, for it was accepted.
func TestStopSendsCallersAway(t *testing.T) {
	w := newWorld(t)
	ctx, stop := context.WithCancel(w.ctx())
	ended := make(chan error, 1)
	go func() { ended <- w.gateway.Run(ctx) }()
	next(t, "the gateway listens", w.gateway.Listening())
	answers := make(chan reply, 1)
	go func() { answers <- w.post(fnPath, "x") }()
	eventually(t, "the request is stored", func() bool {
		pending, err := w.bus.PendingOf(w.ctx(), fn, testShard)
		return err == nil && len(pending) == 1
	})
	stop()
	r := next(t, "the one that waits", answers)
	id := r.Header.Get(events.HeaderID)
	if e := r.failure(t); r.StatusCode != http.StatusServiceUnavailable || e.Cause != causeDraining || id == "" || !strings.Contains(e.Hint, id) {
		t.Errorf("%d %v %s", r.StatusCode, r.Header, r.body)
	}
	if err := next(t, "the end of the gateway", ended); err != nil {
		t.Error(err)
	}
	if pending, err := w.bus.PendingOf(w.ctx(), fn, testShard); err != nil || len(pending) != 1 {
		t.Errorf("stored %v, %v", pending, err)
	}
}
