package embedded

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"

	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/cmd/stoker/doorkeeper"
	"stoker.dev/stoker/cmd/stoker/embedded/natsd"
	"stoker.dev/stoker/cmd/stoker/embedded/temporald"
	"stoker.dev/stoker/cmd/stoker/embedded/token"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/workflows"
)

// patience bounds every wait of these tests; none should come near it.
const patience = 2 * time.Minute

var attributes = map[string]enumspb.IndexedValueType{
	workflows.AttrNamespace: enumspb.INDEXED_VALUE_TYPE_KEYWORD,
	workflows.AttrFunction:  enumspb.INDEXED_VALUE_TYPE_KEYWORD,
	workflows.AttrPhase:     enumspb.INDEXED_VALUE_TYPE_KEYWORD,
	workflows.AttrGPUs:      enumspb.INDEXED_VALUE_TYPE_INT,
}

func openDir(t *testing.T) *datadir.Dir {
	t.Helper()
	d, err := datadir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func testOptions(t *testing.T, d *datadir.Dir) Options {
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	keys, err := d.Keys()
	if err != nil {
		t.Fatal(err)
	}
	keeper, err := doorkeeper.Open(doorkeeper.Options{Token: keys.Admin, Users: d.Users(), Anonymous: true})
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Dir: d, Ports: datadir.Random, Keeper: keeper, SearchAttributes: attributes, Logger: log, SyncInterval: natsd.DefaultSyncInterval,
	}
}

func start(t *testing.T, o Options) *Platform {
	t.Helper()
	began := time.Now()
	p, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %v", time.Since(began).Round(time.Millisecond))
	return p
}

func stop(t *testing.T, p *Platform) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func connect(t *testing.T, p *Platform) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := p.NATSConn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

func TestSecondStartKeepsEverything(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	o := testOptions(t, openDir(t))
	p := start(t, o)
	before := p.Server("http://127.0.0.1:1", "test")
	nc, js := connect(t, p)
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, "s", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	run, err := p.TemporalClient().ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "w", TaskQueue: "nobody"}, "Waiting")
	if err != nil {
		t.Fatal(err)
	}
	stop(t, p)

	p = start(t, o)
	defer stop(t, p)
	after := p.Server("http://127.0.0.1:1", "test")
	after.Started = before.Started
	if after != before {
		t.Errorf("agents would not find it again:\n%+v\n%+v", before, after)
	}
	nc, js = connect(t, p)
	defer nc.Close()
	if s, err := js.Stream(ctx, "S"); err != nil || s.CachedInfo().State.Msgs != 1 {
		t.Errorf("stream: %+v, %v", s, err)
	}
	if _, err := p.TemporalClient().DescribeWorkflowExecution(ctx, "w", run.GetRunID()); err != nil {
		t.Errorf("workflow: %v", err)
	}
	if err := p.Healthy(ctx); err != nil {
		t.Error(err)
	}
}

func TestAgentAccessIsForOneReplica(t *testing.T) {
	p := start(t, testOptions(t, openDir(t)))
	defer stop(t, p)
	claims := token.Claims{Key: functions.Key{Namespace: "default", Name: "f"}, Replica: "f-1", Stream: "S"}
	access := p.AgentAccess(claims)
	nc, err := nats.Connect(access.URL, nats.Token(access.Token))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := errors.Join(nc.Publish("stoker.fn.default.f.standard", nil), nc.FlushTimeout(patience)); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(nc.LastError(), nats.ErrPermissionViolation) {
		t.Errorf("an agent published a request: %v", nc.LastError())
	}
	renewed, err := p.RenewAgent(access.Token)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.RevokeAgents([]string{"f-1"}); err != nil {
		t.Fatal(err)
	}
	for _, tok := range []string{access.Token, renewed} {
		if _, err := nats.Connect(access.URL, nats.Token(tok)); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("the token of a replica that is gone: %v", err)
		}
	}
	if revoked, err := p.dir.Revoked(); err != nil || len(revoked) != 1 {
		t.Errorf("the next start would let it in: %v, %v", revoked, err)
	}
}

func TestNewSearchAttributesReachAnOldFile(t *testing.T) {
	o := testOptions(t, openDir(t))
	stop(t, start(t, o))
	o.SearchAttributes = map[string]enumspb.IndexedValueType{"StokerLater": enumspb.INDEXED_VALUE_TYPE_KEYWORD}
	for name, kind := range attributes {
		o.SearchAttributes[name] = kind
	}
	p := start(t, o)
	defer stop(t, p)
	checkAttributes(t, p.TemporalClient(), o.SearchAttributes)
}

func checkAttributes(t *testing.T, c client.Client, want map[string]enumspb.IndexedValueType) {
	t.Helper()
	have, err := c.OperatorService().ListSearchAttributes(t.Context(), &operatorservice.ListSearchAttributesRequest{Namespace: DefaultNamespace})
	if err != nil {
		t.Fatal(err)
	}
	for name, kind := range want {
		if got := have.GetCustomAttributes()[name]; got != kind {
			t.Errorf("%s is %v, want %v", name, got, kind)
		}
	}
}

// A failed start leaves no server behind, so the next one succeeds.
func TestNothingIsHalfStarted(t *testing.T) {
	d := openDir(t)
	o := testOptions(t, d)
	ports, err := d.Ports(datadir.Random)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("port in use", func(t *testing.T) {
		l, err := net.Listen("tcp", net.JoinHostPort(datadir.Loopback, strconv.Itoa(ports.Temporal)))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, err = Start(t.Context(), o)
		var inUse *datadir.PortInUseError
		if !errors.As(err, &inUse) || inUse.Purpose != "temporal" {
			t.Errorf("got %v, want PortInUseError", err)
		}
		wantOneLine(t, err)
		checkStopped(t, func() error { return d.CheckNATS(ports) })
	})
	t.Run("unusable database", func(t *testing.T) {
		if err := os.WriteFile(d.TemporalDB(), []byte("no database"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(strings.TrimSuffix(d.TemporalDB(), "temporal.db")+"temporal.version", []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Start(t.Context(), o)
		if !errors.Is(err, temporald.ErrIncompatible) {
			t.Errorf("got %v, want ErrIncompatible", err)
		}
		wantOneLine(t, err)
		checkStopped(t, func() error { return errors.Join(d.CheckNATS(ports), d.CheckTemporal(ports)) })
		if err := os.Remove(d.TemporalDB()); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Start(ctx, o); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		checkStopped(t, func() error { return errors.Join(d.CheckNATS(ports), d.CheckTemporal(ports)) })
	})
	stop(t, start(t, o))
}

func wantOneLine(t *testing.T, err error) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %v", err)
	}
}

func checkStopped(t *testing.T, free func() error) {
	t.Helper()
	if err := free(); err != nil {
		t.Errorf("still running: %v", err)
	}
}

func TestUIBelowItsPath(t *testing.T) {
	p := start(t, testOptions(t, openDir(t)))
	defer stop(t, p)
	mux := http.NewServeMux()
	mux.Handle("/temporal/", p.UI())
	srv := httptest.NewServer(mux)
	defer srv.Close()

	page := get(t, srv.URL+"/temporal/", http.StatusOK)
	asset := regexp.MustCompile(`/temporal/_app/[^"]+\.js`).FindString(page)
	if !strings.Contains(page, `base: "/temporal"`) || asset == "" {
		t.Fatalf("index page does not live below /temporal: %.400s", page)
	}
	get(t, srv.URL+asset, http.StatusOK)
	get(t, srv.URL+"/temporal/namespaces/default/workflows", http.StatusOK)
	if body := get(t, srv.URL+"/temporal/api/v1/namespaces", http.StatusOK); !strings.Contains(body, `"name": "default"`) {
		t.Errorf("namespaces: %s", body)
	}
	if body := get(t, srv.URL+"/temporal/api/v1/settings", http.StatusOK); !strings.Contains(body, `"DefaultNamespace":"default"`) {
		t.Errorf("settings: %s", body)
	}
	if body := get(t, srv.URL+"/temporal/render?content=**bold**", http.StatusOK); !strings.Contains(body, "<strong>bold</strong>") {
		t.Errorf("markdown: %s", body)
	}
	t.Run("another site cannot act", func(t *testing.T) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/temporal/api/v1/namespaces", strings.NewReader(`{"namespace":"evil"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		if code, body := do(t, req); code != http.StatusForbidden {
			t.Errorf("got %d %s, want 403", code, body)
		}
	})
}

func get(t *testing.T, url string, want int) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	code, body := do(t, req)
	if code != want {
		t.Fatalf("%s: got %d, want %d: %.400s", url, code, want, body)
	}
	return body
}

func do(t *testing.T, req *http.Request) (int, string) {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}
