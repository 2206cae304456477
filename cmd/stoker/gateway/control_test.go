package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// cli is the client that the command line uses.
func (w *world) cli() *api.Client { return api.NewClient(w.server.URL, testToken, w.server.Client()) }

const manifest = `apiVersion: stoker.dev/v1
kind: Function
metadata: {name: %s}
spec:
  runtime: {local: {command: [server]}}
`

func TestControlAPIWithItsClient(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	cli := w.cli()
	if fns, err := cli.List(ctx, ""); err != nil || len(fns) != 1 || fns[0].Key != fn {
		t.Errorf("list: %+v, %v", fns, err)
	}
	if fns, err := cli.List(ctx, "elsewhere"); err != nil || fns == nil || len(fns) != 0 {
		t.Errorf("list of nothing: %+v, %v", fns, err)
	}
	if f, err := cli.Get(ctx, fn); err != nil || f.Generation != 7 {
		t.Errorf("get: %+v, %v", f, err)
	}
	if e, err := cli.Explain(ctx, fn); err != nil || e.Capacity != 2 {
		t.Errorf("explain: %+v, %v", e, err)
	}
	if p, err := cli.Platform(ctx); err != nil || p.Capacity != 4 {
		t.Errorf("platform: %+v, %v", p, err)
	}
	three := 3
	must(t, cli.Scale(ctx, fn, &three))
	if w.control.pinned == nil || *w.control.pinned != 3 {
		t.Errorf("pinned %v", w.control.pinned)
	}
	must(t, cli.Scale(ctx, fn, nil))
	if w.control.pinned != nil {
		t.Errorf("still pinned: %d", *w.control.pinned)
	}
	must(t, cli.Pause(ctx, fn, true))
	must(t, cli.Pause(ctx, fn, false))
	must(t, cli.Delete(ctx, fn))
	want := []string{"explain", "scale default/tinylm", "scale default/tinylm", "pause default/tinylm", "resume default/tinylm", "delete default/tinylm"}
	if got := w.control.noted(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestApply(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	good := strings.ReplaceAll(manifest, "%s", "a") + "---\n" + strings.ReplaceAll(manifest, "%s", "b")
	for _, dryRun := range []bool{true, false} {
		applied, err := w.cli().Apply(ctx, "two.yaml", []byte(good), dryRun)
		if err != nil || len(applied) != 2 || applied[1].Key.Name != "b" {
			t.Errorf("%+v, %v", applied, err)
		}
	}
	if got := w.control.noted(); !slices.Equal(got, []string{"dry-run", "apply"}) {
		t.Errorf("%q", got)
	}
	_, err := w.cli().Apply(ctx, "my file.yaml", []byte(good+"  scaling: {maximum: 3}\n  queue: 4\n"), false)
	var wrong *api.Error
	if !errors.As(err, &wrong) || wrong.Code != 422 || strings.Count(wrong.Message, "my file.yaml:") != 2 || !strings.Contains(wrong.Message, "spec.scaling.maximum") {
		t.Errorf("%v", err)
	}
	_, err = w.cli().Apply(ctx, "big.yaml", []byte(strings.Repeat("#", functions.MaxInputBytes+1)), false)
	if !errors.As(err, &wrong) || wrong.Code != 413 {
		t.Errorf("%v", err)
	}
}

// TestControlErrorsKeepTheirShape: what the controller says arrives with code, cause and hint.
func TestControlErrorsKeepTheirShape(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	_, err := w.cli().Get(ctx, functions.Key{Namespace: "default", Name: "none"})
	var wrong *api.Error
	if !errors.As(err, &wrong) || *wrong != (api.Error{Code: 404, Cause: "not-found", Message: "function default/none is not deployed", Hint: "hint"}) {
		t.Errorf("%+v", wrong)
	}
	for err, code := range map[error]int{
		errors.New("the disk is on fire"): 500, context.DeadlineExceeded: 503, events.ErrNotConnected: 503, events.ErrConflict: 409,
		events.ErrNotFound: 404, events.ErrQueueFull: 429, activities.ErrNoReplica: 404,
	} {
		w.control.err = err
		got := w.cli().Pause(ctx, fn, true)
		if !errors.As(got, &wrong) || wrong.Code != code || !strings.Contains(wrong.Message, err.Error()) {
			t.Errorf("%v became %v", err, got)
		}
	}
}

// TestControlAPIIsStrict: an order that is not understood is not followed.
func TestControlAPIIsStrict(t *testing.T) {
	w := newWorld(t)
	const base = "/api/v1/functions/default/tinylm"
	for _, c := range []struct {
		method, path, body string
		code               int
	}{
		{"POST", base + "/scale", `{"replica":3}`, 400},
		{"POST", base + "/scale", `{"replicas":"3"}`, 400},
		{"POST", base + "/scale", `{"replicas":3}{"replicas":4}`, 400},
		{"POST", base + "/scale", ``, 400},
		{"POST", base + "/pause", `{"paused":true,"x":` + strings.Repeat("1", maxOrder) + `}`, 413},
		{"POST", base + "/dead", `{"op":"explode","all":true}`, 400},
		{"POST", base + "/dead", `{"op":"purge"}`, 400},
		{"POST", base + "/dead", `{"op":"purge","all":true,"seqs":[1]}`, 400},
		{"GET", base + "/dead?limit=many", ``, 400},
		{"GET", base + "/dead?after=-1", ``, 400},
		{"GET", base + "/logs?tail=-1", ``, 400},
		{"GET", base + "/logs?follow=perhaps", ``, 400},
		{"GET", "/api/v1/events?since=yesterday", ``, 400},
		{"GET", "/api/v1/events?function=a.b", ``, 400},
		{"POST", "/api/v1/functions?dryRun=later", ``, 400},
		{"PUT", base, `{}`, 404},
		{"GET", "/api/v1/nothing", ``, 404},
	} {
		r := w.do(c.method, c.path, c.body, "Authorization", "Bearer "+testToken)
		if e := r.failure(t); r.StatusCode != c.code || e.Code != c.code {
			t.Errorf("%s %s %.60s: %d %s", c.method, c.path, c.body, r.StatusCode, r.body)
		}
	}
	if got := w.control.noted(); len(got) != 0 {
		t.Errorf("followed: %q", got)
	}
}

func TestDeadLetters(t *testing.T) {
	const n = 120 // more than one page
	w, ctx := newWorld(t), w0(t)
	cli := w.cli()
	for i := range n {
		must(t, w.bury(i))
	}
	first, err := cli.Dead(ctx, fn, 0, 10)
	if err != nil || len(first) != 10 || string(first[3].Data) != "data 3" || first[3].Cause != events.CauseBackend || first[3].Attempts != 3 || first[3].ID == "" {
		t.Fatalf("%+v, %v", first, err)
	}
	if rest, err := cli.Dead(ctx, fn, first[9].Seq, 1000); err != nil || len(rest) != n-10 || rest[0].Seq <= first[9].Seq {
		t.Errorf("%d, %v", len(rest), err)
	}
	some := []uint64{first[0].Seq, first[1].Seq}
	got, err := cli.Redeem(ctx, fn, api.DeadRequest{Op: "redrive", Seqs: some})
	if err != nil || got.N != 2 || !slices.Equal(got.IDs, []string{first[0].ID + "~r1", first[1].ID + "~r1"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := cli.Redeem(ctx, fn, api.DeadRequest{Op: "purge", Seqs: []uint64{first[2].Seq}}); err != nil || got.N != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	var wrong *api.Error
	if _, err := cli.Redeem(ctx, fn, api.DeadRequest{Op: "purge", Seqs: some}); !errors.As(err, &wrong) || wrong.Code != 404 {
		t.Errorf("those are gone: %v", err)
	}
	other := functions.Key{Namespace: "default", Name: "other"}
	for _, op := range []string{"purge", "redrive"} {
		if _, err := cli.Redeem(ctx, other, api.DeadRequest{Op: op, Seqs: []uint64{first[5].Seq}}); !errors.As(err, &wrong) || wrong.Code != 404 {
			t.Errorf("%s of another function's: %v", op, err)
		}
	}
	if got, err := cli.Redeem(ctx, fn, api.DeadRequest{Op: "redrive", All: true}); err != nil || got.N != n-3 {
		t.Errorf("%d, %v", got.N, err)
	}
	if got, err := cli.Redeem(ctx, fn, api.DeadRequest{Op: "purge", All: true}); err != nil || got.N != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if left, err := cli.Dead(ctx, fn, 0, 10); err != nil || left == nil || len(left) != 0 {
		t.Errorf("%+v, %v", left, err)
	}
	if pending, err := w.bus.PendingOf(ctx, fn, testShard); err != nil || pending[functions.Standard] != n-1 {
		t.Errorf("pending %v, %v", pending, err)
	}
}

// TestDeadPagesAreBounded: large requests come in more pages.
func TestDeadPagesAreBounded(t *testing.T) {
	w, ctx := newWorld(t), w0(t)
	const n, size = 12, 900 << 10
	for i := range n {
		must(t, w.buryData(i, strings.Repeat("x", size)))
	}
	total, after := 0, uint64(0)
	for {
		page, err := w.cli().Dead(ctx, fn, after, 100)
		must(t, err)
		if len(page) == 0 {
			break
		}
		if len(page) > maxDeadBytes/size+1 {
			t.Errorf("a page of %d", len(page))
		}
		total, after = total+len(page), page[len(page)-1].Seq
	}
	if total != n {
		t.Errorf("%d of %d", total, n)
	}
}

func w0(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*inTime)
	t.Cleanup(cancel)
	return ctx
}

func TestEventsComeAsLines(t *testing.T) {
	w := newWorld(t)
	must(t, w.bus.Emit(w.ctx(), fn, "function", "applied", map[string]any{"generation": 1}))
	must(t, w.bus.Emit(w.ctx(), functions.Key{Namespace: "default", Name: "other"}, "function", "applied", nil))
	must(t, w.bus.Emit(w.ctx(), fn, "replica", "ready", []int{1, 2}))
	var all []string
	for e, err := range w.cli().Events(t.Context(), api.EventFilter{Function: fn.Name}) {
		must(t, err)
		all = append(all, e.Kind+" "+e.What)
		if e.Key != fn || e.Seq == 0 || e.At.IsZero() || (e.What == "applied") != (e.Data["generation"] != nil) || (e.What == "ready") != (e.Data["value"] != nil) {
			t.Errorf("%+v", e)
		}
	}
	if !slices.Equal(all, []string{"function applied", "replica ready"}) {
		t.Errorf("%q", all)
	}
}

func TestEventsAreFollowed(t *testing.T) {
	w := newWorld(t)
	ctx, stop := context.WithCancel(w.ctx())
	defer stop()
	seen := make(chan api.Event, 10)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for e, err := range w.cli().Events(ctx, api.EventFilter{Namespace: "default", Since: time.Hour, Follow: true}) {
			if err != nil {
				return
			}
			seen <- e
		}
	}()
	for _, what := range []string{"one", "two"} {
		must(t, w.bus.Emit(w.ctx(), fn, "function", what, nil))
		if e := next(t, "an event", seen); e.What != what {
			t.Errorf("%+v", e)
		}
	}
	stop()
	next(t, "the end", ended)
}

// TestBrokenOffEventsLookBroken: a list that could not be read to its end is no shorter list.
func TestBrokenOffEventsLookBroken(t *testing.T) {
	w := newWorld(t)
	must(t, w.bus.Emit(w.ctx(), fn, "function", "one", nil))
	seen, failed := make(chan api.Event, 1), make(chan error, 1)
	go func() {
		for e, err := range w.cli().Events(w0(t), api.EventFilter{Since: time.Hour, Follow: true}) {
			if err != nil {
				failed <- err
				return
			}
			seen <- e
		}
		failed <- nil
	}()
	next(t, "the event", seen)
	w.bus.Conn().Close()
	if err := next(t, "the end", failed); err == nil {
		t.Error("the events ended as if that were all")
	}
}

func TestLogsComeAsTheyAreWritten(t *testing.T) {
	w := newWorld(t)
	from, to := io.Pipe()
	w.control.output = from
	logs, err := w.cli().Logs(w.ctx(), fn, "r-7", 12, true)
	must(t, err)
	defer logs.Close()
	if w.control.opts != (activities.LogOptions{Tail: 12, Follow: true}) || !slices.Equal(w.control.noted(), []string{"logs r-7"}) {
		t.Errorf("%+v %q", w.control.opts, w.control.noted())
	}
	buf := make([]byte, 100)
	for _, line := range []string{"one\n", "two\n"} {
		if _, err := to.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
		if n, err := logs.Read(buf); err != nil || string(buf[:n]) != line {
			t.Errorf("%q, %v", buf[:n], err)
		}
	}
	must(t, to.Close())
	if n, err := logs.Read(buf); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("%q, %v", buf[:n], err)
	}
	w.control.output = io.NopCloser(io.MultiReader(strings.NewReader("some"), failingReader{}))
	logs, err = w.cli().Logs(w.ctx(), fn, "", 0, false)
	must(t, err)
	if got, err := io.ReadAll(logs); err == nil {
		t.Errorf("broken logs look whole: %q", got)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("disk gone") }

func TestOnlyTheTokenOpensTheControlAPI(t *testing.T) {
	w := newWorld(t)
	for _, header := range []string{"", "Bearer", "Bearer ", "Bearer " + testToken[1:], "Bearer " + testToken + "x", "Basic " + testToken, testToken} {
		r := w.do(http.MethodDelete, "/api/v1/functions/default/tinylm", "", "Authorization", header)
		if r.StatusCode != http.StatusUnauthorized || r.failure(t).Cause != "unauthorized" || r.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%q: %d %s", header, r.StatusCode, r.body)
		}
	}
	if got := w.control.noted(); len(got) != 0 {
		t.Errorf("followed: %q", got)
	}
}
