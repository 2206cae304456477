package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/cmd/stoker/doorkeeper"
	"stoker.dev/stoker/cmd/stoker/gateway"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/events/eventstest"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/cost"
	"stoker.dev/stoker/scale/jobs/loan"
)

var update = flag.Bool("update", false, "write the golden files from what is printed")

// noon is when the tests take place.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// memory is a controller that remembers what it is told and decides nothing. The gateway before
// it, the broker and the CLI are real.
type memory struct {
	mu      sync.Mutex
	fns     map[functions.Key]api.Function
	explain api.Explanation
	calls   []string
}

func (m *memory) note(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, fmt.Sprintf(format, args...))
}

// said returns what it was told since it was asked last.
func (m *memory) said() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := strings.Join(m.calls, "; ")
	m.calls = nil
	return out
}

func (m *memory) Apply(_ context.Context, fs []functions.Function, dryRun bool) ([]api.Applied, error) {
	var out []api.Applied
	for _, f := range fs {
		if f.Spec.Placement.Pool != "default" {
			return nil, &api.Error{Code: 422, Cause: "not-admissible", Message: fmt.Sprintf("%s: spec.placement.pool: %q: no such pool", f.Key(), f.Spec.Placement.Pool)}
		}
		m.note("apply %s dry=%t", f.Key(), dryRun)
		a := api.Applied{Key: f.Key(), Action: "created", Generation: 1, Revision: "aaaaaaaaaa"}
		if old, ok := m.fns[f.Key()]; ok {
			a.Action, a.Generation, a.Revision, a.Rolls = "configured", old.Generation+1, "bbbbbbbbbb", true
			a.Changes = []functions.Change{{Path: "spec.runtime.image", Old: "a:1", New: "a:2", Rolls: true}, {Path: "spec.scaling.budget.perDay", New: "20"}}
		}
		out = append(out, a)
	}
	return out, nil
}

func (m *memory) Get(_ context.Context, k functions.Key) (api.Function, error) {
	f, ok := m.fns[k]
	if !ok {
		return f, &api.Error{Code: 404, Cause: "not-found", Message: "function " + k.String() + " is not deployed", Hint: "`stoker get` lists what is"}
	}
	return f, nil
}

// order takes an order about a function that exists.
func (m *memory) order(ctx context.Context, k functions.Key, what string) error {
	_, err := m.Get(ctx, k)
	if err == nil {
		m.note("%s %s", what, k)
	}
	return err
}

func (m *memory) Delete(ctx context.Context, k functions.Key) error { return m.order(ctx, k, "delete") }

func (m *memory) Pause(ctx context.Context, k functions.Key, paused bool) error {
	return m.order(ctx, k, fmt.Sprintf("pause=%t", paused))
}

func (m *memory) Scale(ctx context.Context, k functions.Key, n *int) error {
	if n == nil {
		return m.order(ctx, k, "auto")
	}
	return m.order(ctx, k, fmt.Sprintf("pin %d", *n))
}

func (m *memory) List(_ context.Context, ns string) ([]api.Function, error) {
	var out []api.Function
	for _, f := range fixtures() {
		if _, there := m.fns[f.Key]; there && (ns == "" || ns == f.Key.Namespace) {
			out = append(out, f)
		}
	}
	return out, nil
}

func (m *memory) Explain(ctx context.Context, k functions.Key) (api.Explanation, error) {
	f, err := m.Get(ctx, k)
	e := m.explain
	e.Function = f
	return e, err
}

func (m *memory) Logs(ctx context.Context, k functions.Key, replica string, o activities.LogOptions) (io.ReadCloser, error) {
	if err := m.order(ctx, k, fmt.Sprintf("logs %q tail=%d follow=%t of", replica, o.Tail, o.Follow)); err != nil {
		return nil, err
	}
	return io.NopCloser(strings.NewReader("loading\nready\n")), nil
}

func (m *memory) Platform(context.Context) (api.Platform, error) { return platformFixture(), nil }

// Cost is of a pool with one function and a price.
func (m *memory) Cost(_ context.Context, since time.Time, by cost.By, see func(string) bool) (cost.Report, error) {
	m.note("cost by %s since %s", by, time.Since(since).Round(time.Hour))
	l4 := func(function string, t cost.Parts) cost.Entry {
		return cost.Entry{Account: cost.Account{Function: function, Product: "NVIDIA L4"}, Time: t}
	}
	e := l4("default/tinylm", cost.Parts{cost.Useful: 90 * time.Minute, cost.Cold: 2 * time.Minute, cost.Idle: 26 * time.Minute, cost.Draining: time.Minute, cost.Unknown: time.Minute})
	e.Served, e.TokensIn, e.TokensOut = 5400, 120_000, 80_000
	trains := l4("job default/llama", cost.Parts{cost.Useful: 20 * time.Minute, cost.Draining: 4 * time.Second})
	trains.Lent = 15 * time.Minute
	old := cost.Entry{Account: cost.Account{Function: "chat/qwen", Product: "Tesla K80"}, Time: cost.Parts{cost.Useful: 10 * time.Second}}
	rows := []cost.Row{{Start: noon.Add(-2 * time.Hour), Length: 2 * time.Hour, Entries: []cost.Entry{
		l4("", cost.Parts{cost.Free: 90 * time.Minute, cost.Down: 30 * time.Minute}), old, e, trains,
	}}}
	price := func(product string) (float64, bool) { return 0.8048, product == "NVIDIA L4" }
	return cost.Summarize(rows, cost.Options{Pool: "default", By: by, See: see, Price: price}), nil
}

// lent is what jobs have borrowed; nothing else is asked of it.
type (
	lent    struct{ anyJobs }
	anyJobs = api.Jobs
)

func (lent) Loans(context.Context, time.Time) (loan.Summary, error) {
	return loan.Summary{
		From: noon.Add(-24 * time.Hour), Loans: 3, Open: 1, GPUs: 2, Recalls: 2, Overdue: 1,
		GiveBack: loan.Times{Of: 2, P50: 1.25, P99: 30.004}, Save: loan.Times{Of: 1, P50: 0.9, P99: 0.9},
		Credits: []loan.Credit{{Lender: "functions", GPUSeconds: 12345.6, Loans: 40, Recalls: 12, Overdue: 1}},
	}, nil
}

func (m *memory) Refused(functions.Key) {}

func (m *memory) Admission(functions.Key) (api.Admission, bool) { return api.Admission{}, false }

// world is a platform the CLI can find through its data directory.
type world struct {
	t       *testing.T
	control *memory
	bus     *events.Bus
	data    string
	url     string
}

const testToken = "the-token-of-this-test"

// newWorld serves the fixtures. With serve, what comes for functions is answered by it and not
// by the gateway, since no agents run here.
func newWorld(t *testing.T, serve http.HandlerFunc) *world {
	t.Helper()
	nc, _, _ := eventstest.Start(t)
	bus, err := events.NewBus(nc, slog.New(slog.DiscardHandler))
	must(t, err)
	must(t, bus.Ensure(t.Context(), events.StreamOptions{}))
	w := &world{t: t, control: &memory{fns: map[functions.Key]api.Function{}, explain: explainFixture()}, bus: bus}
	for _, f := range fixtures() {
		w.control.fns[f.Key] = f
	}
	w.data = dataDir(t, datadir.Server{})
	keeper, err := doorkeeper.Open(doorkeeper.Options{Token: testToken, Users: datadir.UsersOf(w.data), Anonymous: true})
	must(t, err)
	ui := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte("workflows")) })
	g := gateway.New(gateway.Options{Bus: bus, Control: w.control, Jobs: lent{}, Keeper: keeper, UI: ui})
	mux := http.NewServeMux()
	mux.Handle("/", g.Handler())
	if serve != nil {
		mux.HandleFunc("/functions/", serve)
		mux.HandleFunc("/results/", serve)
	}
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	w.url = srv.URL
	w.publish(datadir.Server{PID: os.Getpid(), HTTP: srv.URL, AdminToken: testToken})
	return w
}

// publish writes down how the platform is reached.
func (w *world) publish(s datadir.Server) {
	w.t.Helper()
	data, err := json.Marshal(s)
	must(w.t, err)
	must(w.t, os.WriteFile(filepath.Join(w.data, "server.json"), data, 0o600))
}

// dataDir is a data directory that says how a platform is reached.
func dataDir(t *testing.T, s datadir.Server) string {
	t.Helper()
	dir, err := datadir.Open(filepath.Join(t.TempDir(), "data"))
	must(t, err)
	t.Cleanup(func() { must(t, dir.Close()) })
	must(t, dir.WriteServer(s))
	return dir.Path()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// said is what a command wrote and how it ended.
type said struct {
	out, err string
	code     int
}

// stoker runs one command line at noon.
func stoker(t *testing.T, stdin string, args ...string) said {
	t.Helper()
	var out, errs bytes.Buffer
	code := execute(t.Context(), args, &streams{strings.NewReader(stdin), &out, &errs, func() time.Time { return noon }})
	return said{out.String(), errs.String(), code}
}

// run runs one command line against this world.
func (w *world) run(args ...string) said {
	w.t.Helper()
	return stoker(w.t, "", append([]string{"--data-dir", w.data}, args...)...)
}

// golden compares what a command wrote with a file, of which -update writes a new one.
func (w *world) golden(name string, got said) {
	w.t.Helper()
	text := got.out
	if got.err != "" {
		text += "--- standard error\n" + got.err
	}
	if got.code != 0 {
		text += fmt.Sprintf("--- exit code %d\n", got.code)
	}
	text = strings.ReplaceAll(text, fmt.Sprintf("pid %d", os.Getpid()), "pid PID")
	text = strings.ReplaceAll(text, w.data, "DATA")
	file := filepath.Join("testdata", name+".golden")
	if *update {
		must(w.t, os.MkdirAll("testdata", 0o755))
		must(w.t, os.WriteFile(file, []byte(text), 0o644))
	}
	want, err := os.ReadFile(file)
	must(w.t, err)
	if string(want) != text {
		w.t.Errorf("%s differs; go test -update writes it anew. Got:\n%s\nwant:\n%s", file, text, want)
	}
}

func wants(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s: no %q in:\n%s", what, p, text)
		}
	}
}
