package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/cmd/stoker/access"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/doorkeeper"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/events/eventstest"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/cost"
)

// inTime bounds what a test waits for on a machine that runs other tests too.
const inTime = 90 * time.Second

const (
	testShard = 3
	testToken = "the-token-of-this-test"
)

var fn = functions.Key{Namespace: "default", Name: "tinylm"}

// world is a gateway on a real broker, with a controller in memory.
type world struct {
	t       testing.TB
	bus     *events.Bus
	control *fakeControl
	gateway *Gateway
	server  *httptest.Server
	url     string // of the broker
	keeper  *doorkeeper.Keeper
	users   string // its file; there are none at first
}

// user makes a user and returns the header with its token.
func (w *world) user(name string, role access.Role, namespaces ...string) []string {
	w.t.Helper()
	token := access.NewToken(name)
	must(w.t, doorkeeper.Edit(w.users, func(u access.Users) (access.Users, error) {
		return u.With(access.User{Name: name, Role: role, Namespaces: namespaces, Token: access.Hash(token)})
	}))
	return []string{"Authorization", "Bearer " + token}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	nc, _, url := eventstest.Start(t)
	bus, err := events.NewBus(nc, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, bus: bus, control: newControl(), url: url}
	must(t, bus.Ensure(t.Context(), events.StreamOptions{}))
	w.users = filepath.Join(t.TempDir(), "users.yaml")
	w.keeper, err = doorkeeper.Open(doorkeeper.Options{Token: testToken, Users: w.users, Anonymous: true})
	must(t, err)
	w.gateway = New(Options{Bus: bus, Control: w.control, Keeper: w.keeper})
	w.gateway.patience = patience{expire: 100 * time.Millisecond, look: 200 * time.Millisecond, reply: 100 * time.Millisecond, waiting: 50 * time.Millisecond, write: standard.write, read: standard.read}
	w.server = httptest.NewServer(w.gateway.Handler())
	t.Cleanup(w.server.Close)
	w.deploy(fn, nil)
	return w
}

// deploy makes a function that change may adjust.
func (w *world) deploy(k functions.Key, change func(*api.Admission)) {
	w.t.Helper()
	must(w.t, w.bus.Deploy(w.t.Context(), k, testShard))
	a := api.Admission{Spec: functions.Default(functions.Function{}).Spec, Shard: testShard}
	if change != nil {
		change(&a)
	}
	w.control.admissions.Store(k, a)
}

// run answers invokes until the test ends.
func (w *world) run() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.gateway.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	next(w.t, "the gateway listens", w.gateway.Listening())
}

func (w *world) ctx() context.Context {
	ctx, cancel := context.WithTimeout(w.t.Context(), inTime)
	w.t.Cleanup(cancel)
	return ctx
}

// agent pulls a function's requests from its real consumers and hands each to do.
type agent struct {
	w         *world
	key       functions.Key
	cancelled chan string
	served    atomic.Int64
}

// serve answers each request with what do returns, as agents do: record, acknowledgement, reply.
func (w *world) serve(k functions.Key, do func(events.Request) (content string, body []byte)) *agent {
	return w.agent(k, func(a *agent, d *events.Delivery) {
		content, body := do(d.Request)
		rec := d.Request.Record(events.StatusOK, "", "")
		rec.ContentType, rec.Body = content, body
		a.end(d, rec, nil)
	})
}

func (w *world) agent(k functions.Key, do func(*agent, *events.Delivery)) *agent {
	w.t.Helper()
	must(w.t, w.bus.OpenQueue(w.ctx(), k, testShard))
	a := &agent{w: w, key: k, cancelled: make(chan string, 16)}
	sub, err := w.bus.OnCancel(k, func(id string) { a.cancelled <- id })
	must(w.t, err)
	in := &intake{a: a, do: do}
	pulls, err := w.bus.OpenIntake(k, "r-1", events.ShardStream(testShard), in)
	must(w.t, err)
	for class := range functions.Classes() {
		must(w.t, pulls.Ask(class, asked, askedFor, uint64(class)))
	}
	w.t.Cleanup(func() { _ = pulls.Stop(); _ = sub.Unsubscribe(); in.wg.Wait() })
	return a
}

// One ask is more than any test sends, and open for longer than any test runs.
const (
	asked    = 5000
	askedFor = 10 * time.Minute
)

// intake handles what is delivered, each in a goroutine of its own.
type intake struct {
	a  *agent
	do func(*agent, *events.Delivery)
	wg sync.WaitGroup
}

func (in *intake) Delivered(d *events.Delivery) { in.wg.Go(func() { in.do(in.a, d) }) }
func (in *intake) Ended(uint64)                 {}
func (in *intake) Refused(_ uint64, why string) {
	if in.a.w.t.Context().Err() == nil {
		in.a.w.t.Errorf("pull refused: %s", why)
	}
}

// end finishes a request; a stream's chunks were written before.
func (a *agent) end(d *events.Delivery, rec events.Record, chunks *events.ChunkWriter) {
	ctx, cancel := context.WithTimeout(context.Background(), inTime)
	defer cancel()
	rec.Attempt, rec.Ended = d.Delivered, time.Now().UTC()
	kept := rec
	if d.Request.Event.Sync && rec.Status == events.StatusOK {
		kept.Body = nil
	}
	kept, err := a.w.bus.WriteRecord(ctx, kept, time.Hour)
	switch {
	case errors.Is(err, events.ErrRecordExists):
		rec = kept
	case err != nil:
		a.w.t.Error(err)
		return
	}
	if err := d.Ack(ctx); err != nil {
		a.w.t.Error(err)
	}
	a.served.Add(1)
	switch to := d.Request.Event.ReplyTo; {
	case chunks != nil:
		err = chunks.Close(rec)
	case to != "":
		err = a.w.bus.Reply(to, rec)
	default:
		err = nil
	}
	if err != nil {
		a.w.t.Error(err)
	}
}

// echo answers with the payload.
func echo(r events.Request) (string, []byte) { return r.Event.DataContentType, r.Event.Data }

// reply is an HTTP answer, read to its end.
type reply struct {
	*http.Response
	body string
}

func (w *world) post(path, body string, header ...string) reply {
	w.t.Helper()
	return w.do(http.MethodPost, path, body, header...)
}

func (w *world) get(path string, header ...string) reply {
	w.t.Helper()
	return w.do(http.MethodGet, path, "", header...)
}

func (w *world) do(method, path, body string, header ...string) reply {
	w.t.Helper()
	r := w.request(w.ctx(), method, path, body, header...)
	resp, err := w.server.Client().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return reply{resp, string(data)}
}

func (w *world) request(ctx context.Context, method, path, body string, header ...string) *http.Request {
	w.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, w.server.URL+path, bytes.NewReader([]byte(body)))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// failure reads the one shape of errors.
func (r reply) failure(t testing.TB) refusal {
	t.Helper()
	return readFailure(t, r.body)
}

func readFailure(t testing.TB, body string) refusal {
	t.Helper()
	var wrapped struct{ Error *refusal }
	if err := json.Unmarshal([]byte(body), &wrapped); err != nil || wrapped.Error == nil || wrapped.Error.Message == "" {
		t.Fatalf("no error in %q: %v", body, err)
	}
	return *wrapped.Error
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.After(inTime)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not within %v: %s", inTime, what)
		}
	}
}

// next takes the next value of a channel.
func next[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(inTime):
		t.Fatalf("not within %v: %s", inTime, what)
		panic("unreachable")
	}
}

// fakeControl is a controller in memory.
type fakeControl struct {
	admissions sync.Map // functions.Key → api.Admission

	mu     sync.Mutex
	orders []string
	pinned *int
	err    error
	lists  int
	output io.ReadCloser
	opts   activities.LogOptions
}

func newControl() *fakeControl { return &fakeControl{} }

func (f *fakeControl) note(order string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.orders = append(f.orders, order)
	return f.err
}

func (f *fakeControl) noted() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.orders)
}

func (f *fakeControl) Apply(_ context.Context, fs []functions.Function, dryRun bool) ([]api.Applied, error) {
	var out []api.Applied
	for _, x := range fs {
		out = append(out, api.Applied{Key: x.Key(), Action: "created", Generation: 1})
	}
	order := "apply"
	if dryRun {
		order = "dry-run"
	}
	return out, f.note(order)
}

func (f *fakeControl) Delete(_ context.Context, k functions.Key) error {
	return f.note("delete " + k.String())
}

func (f *fakeControl) List(_ context.Context, namespace string) ([]api.Function, error) {
	f.mu.Lock()
	f.lists++
	f.mu.Unlock()
	var out []api.Function
	f.admissions.Range(func(k, _ any) bool {
		if key := k.(functions.Key); namespace == "" || namespace == key.Namespace {
			out = append(out, api.Function{Key: key})
		}
		return true
	})
	return out, nil
}

func (f *fakeControl) Get(_ context.Context, k functions.Key) (api.Function, error) {
	if _, ok := f.admissions.Load(k); !ok {
		return api.Function{}, &api.Error{Code: 404, Cause: "not-found", Message: "function " + k.String() + " is not deployed", Hint: "hint"}
	}
	return api.Function{Key: k, Generation: 7}, nil
}

func (f *fakeControl) Explain(_ context.Context, k functions.Key) (api.Explanation, error) {
	return api.Explanation{Function: api.Function{Key: k}, Capacity: 2}, f.note("explain")
}

func (f *fakeControl) Scale(_ context.Context, k functions.Key, replicas *int) error {
	f.mu.Lock()
	f.pinned = replicas
	f.mu.Unlock()
	return f.note("scale " + k.String())
}

func (f *fakeControl) Pause(_ context.Context, k functions.Key, paused bool) error {
	if paused {
		return f.note("pause " + k.String())
	}
	return f.note("resume " + k.String())
}

// Logs end with the caller's context, as a provider's do.
func (f *fakeControl) Logs(ctx context.Context, _ functions.Key, replica string, o activities.LogOptions) (io.ReadCloser, error) {
	f.mu.Lock()
	f.opts = o
	out := f.output
	f.mu.Unlock()
	if out != nil {
		context.AfterFunc(ctx, func() { _ = out.Close() })
	}
	return out, f.note("logs " + replica)
}

func (f *fakeControl) Platform(context.Context) (api.Platform, error) {
	return api.Platform{Version: "test", Capacity: 4}, nil
}

// Cost is of two namespaces, of which see chooses.
func (f *fakeControl) Cost(_ context.Context, since time.Time, by cost.By, see func(string) bool) (cost.Report, error) {
	rows := []cost.Row{{Start: since, Length: time.Minute, Entries: []cost.Entry{
		{Account: cost.Account{Function: "default/echo"}, Time: cost.Parts{cost.Useful: time.Second}},
		{Account: cost.Account{Function: "other/secret"}, Time: cost.Parts{cost.Useful: 2 * time.Second}},
	}}}
	return cost.Summarize(rows, cost.Options{By: by, See: see, Price: func(string) (float64, bool) { return 0, false }}), nil
}

func (f *fakeControl) Admission(k functions.Key) (api.Admission, bool) {
	v, ok := f.admissions.Load(k)
	if !ok {
		return api.Admission{}, false
	}
	return v.(api.Admission), true
}

func (f *fakeControl) Refused(k functions.Key) { _ = f.note("refused " + k.String()) }
