package temporald

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"stoker.dev/stoker/cmd/stoker/datadir"
)

// patience bounds every wait of these tests; none should come near it.
const patience = 2 * time.Minute

const testNamespace = "default"

var keyPhase = temporal.NewSearchAttributeKeyKeyword("StokerPhase")

func testOptions(t *testing.T, dir string) Options {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	return Options{
		DB: filepath.Join(dir, "temporal.db"), Keys: datadir.TemporalKeysOf(dir), Ports: freePorts(t), Namespace: testNamespace, Logger: log,
		SearchAttributes: map[string]enumspb.IndexedValueType{"StokerPhase": enumspb.INDEXED_VALUE_TYPE_KEYWORD},
	}
}

func freePorts(t *testing.T) Ports {
	t.Helper()
	var p Ports
	for _, port := range []*int{&p.Frontend, &p.History, &p.Matching, &p.Worker} {
		n, err := datadir.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		*port = n
	}
	return p
}

func start(t *testing.T, o Options) *Server {
	t.Helper()
	began := time.Now()
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %v", time.Since(began).Round(time.Millisecond))
	return s
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	began := time.Now()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
	t.Logf("stopped after %v", time.Since(began).Round(time.Millisecond))
}

// awaitSignal is a workflow that outlives a restart of the server.
func awaitSignal(ctx workflow.Context) (string, error) {
	if err := workflow.UpsertTypedSearchAttributes(ctx, keyPhase.ValueSet("waiting")); err != nil {
		return "", err
	}
	var word string
	workflow.GetSignalChannel(ctx, "word").Receive(ctx, &word)
	return word, nil
}

func dial(t *testing.T, s *Server) client.Client {
	t.Helper()
	c, err := s.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func work(t *testing.T, c client.Client) worker.Worker {
	t.Helper()
	w := worker.New(c, "test", worker.Options{})
	w.RegisterWorkflow(awaitSignal)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWorkflowsSurviveARestart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	o := testOptions(t, t.TempDir())

	s := start(t, o)
	c := dial(t, s)
	w := work(t, c)
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "entity", TaskQueue: "test"}, awaitSignal)
	if err != nil {
		t.Fatal(err)
	}
	awaitListed(t, ctx, c, `StokerPhase = "waiting"`)
	w.Stop()
	c.Close()
	stop(t, s)

	s = start(t, o)
	defer stop(t, s)
	c = dial(t, s)
	defer c.Close()
	defer work(t, c).Stop()
	if err := c.SignalWorkflow(ctx, "entity", run.GetRunID(), "word", "still here"); err != nil {
		t.Fatal(err)
	}
	var got string
	if err := c.GetWorkflow(ctx, "entity", run.GetRunID()).Get(ctx, &got); err != nil || got != "still here" {
		t.Fatalf("got %q, %v", got, err)
	}
}

// TestAnOlderVersionsFileLosesItsIndexes: the file of a version that kept all of them, which every change of
// a workflow pays for; lists by what has no index are answered all the same.
func TestAnOlderVersionsFileLosesItsIndexes(t *testing.T) {
	o := testOptions(t, t.TempDir())
	if err := createStore(t.Context(), o.DB); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open(driver, "file:"+uriPath(o.DB))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "CREATE INDEX by_keyword_01 ON executions_visibility (namespace_id, Keyword01)"); err != nil {
		t.Fatal(err)
	}
	stop(t, start(t, o))
	got, err := indexNames(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	want := slices.Sorted(slices.Values(listIndexes))
	if !slices.Equal(got, want) {
		t.Errorf("got indexes %v, want %v", got, want)
	}
}

// awaitListed polls, since visibility is written behind the workflow.
func awaitListed(t *testing.T, ctx context.Context, c client.Client, query string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		n, err := c.CountWorkflow(ctx, countRequest(query))
		if err == nil && n.GetCount() == 1 {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("no workflow with %s: %v", query, err)
		case <-tick.C:
		}
	}
}

func TestPortInUseIsAnErrorNotAnExit(t *testing.T) {
	o := testOptions(t, t.TempDir())
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(o.Ports.Matching)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = Start(t.Context(), o)
	if !errors.Is(err, ErrStart) || !strings.Contains(err.Error(), "address already in use") {
		t.Fatalf("got %v, want ErrStart with the reason", err)
	}
}

func TestADamagedFileIsNamedWithTheWayOut(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(t, dir)
	if err := createStore(t.Context(), o.DB); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(o.DB)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"text":           []byte(strings.Repeat("this is no database\n", 1000)),
		"empty":          {},
		"cut in the end": whole[:len(whole)/2],
		"zeroed middle":  append(append(append([]byte{}, whole[:4096]...), make([]byte, len(whole)-8192)...), whole[len(whole)-4096:]...),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(o.DB, content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Start(t.Context(), o)
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "rm "+o.DB+"*") || strings.Contains(err.Error(), "\n") {
				t.Fatalf("got %v, want one line of ErrCorrupt with the way out", err)
			}
		})
	}
}

func TestAFileOfAnotherVersionIsRefused(t *testing.T) {
	o := testOptions(t, t.TempDir())
	if err := createStore(t.Context(), o.DB); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*stamp){
		"other schema":            func(s *stamp) { s.Schema = "0.10" },
		"other visibility schema": func(s *stamp) { s.Visibility = "9.9" },
		"newer server":            func(s *stamp) { s.Server = "1.999.0" },
		"unreadable server":       func(s *stamp) { s.Server = "soon" },
	} {
		t.Run(name, func(t *testing.T) {
			st := currentStamp()
			edit(&st)
			data, err := json.Marshal(st)
			if err != nil {
				t.Fatal(err)
			}
			refusesStamp(t, o, data)
		})
	}
	t.Run("no JSON", func(t *testing.T) { refusesStamp(t, o, []byte("1.32")) })
	t.Run("no stamp", func(t *testing.T) {
		if err := os.Remove(stampPath(o.DB)); err != nil {
			t.Fatal(err)
		}
		if _, err := Start(t.Context(), o); !errors.Is(err, ErrIncompatible) {
			t.Fatalf("got %v, want ErrIncompatible", err)
		}
	})
}

func refusesStamp(t *testing.T, o Options, stamp []byte) {
	t.Helper()
	if err := os.WriteFile(stampPath(o.DB), stamp, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), o); !errors.Is(err, ErrIncompatible) || strings.Contains(err.Error(), "\n") {
		t.Fatalf("got %v, want one line of ErrIncompatible", err)
	}
}

func TestAnOlderServersFileOfTheSameSchemaIsTakenOver(t *testing.T) {
	db := filepath.Join(t.TempDir(), "temporal.db")
	old := currentStamp()
	old.Server = "1.31.9"
	data, err := json.Marshal(old)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stampPath(db), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := checkStamp(db); err != nil {
		t.Fatal(err)
	}
	data, err = os.ReadFile(stampPath(db))
	if err != nil || !strings.Contains(string(data), currentStamp().Server) {
		t.Fatalf("stamp is %s, %v; want the current server's", data, err)
	}
}

// A start that is killed while it makes the schema leaves no temporal.db.
func TestAHalfMadeFileIsMadeAnew(t *testing.T) {
	o := testOptions(t, t.TempDir())
	if err := writeStamp(o.DB); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.DB+".new", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	stop(t, start(t, o))
}

func TestAPathThatLooksLikeAURI(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "50%25 of #1? yes&no=1")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	o := testOptions(t, dir)
	stop(t, start(t, o))
	if err := checkStore(t.Context(), o.DB, 0); err != nil {
		t.Error(err)
	}
	files, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(files) != 1 {
		t.Errorf("files elsewhere: %v, %v", files, err)
	}
}

// Deleting the file is the documented way out, also inside one process.
func TestADeletedFileIsRebuilt(t *testing.T) {
	o := testOptions(t, t.TempDir())
	stop(t, start(t, o))
	files, err := filepath.Glob(o.DB + "*")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, o)
	defer stop(t, s)
	c := dial(t, s)
	defer c.Close()
	n, err := c.CountWorkflow(t.Context(), countRequest(""))
	if err != nil || n.GetCount() != 0 {
		t.Fatalf("got %v, %v; want an empty namespace", n, err)
	}
}

func TestACancelledStartStopsAgain(t *testing.T) {
	o := testOptions(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	if err := createStore(ctx, o.DB); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := Start(ctx, o); !errors.Is(err, context.Canceled) || errors.Is(err, ErrCorrupt) {
		t.Fatalf("got %v, want context.Canceled", err)
	}
	if err := datadir.CheckPort("frontend", address(o.Ports.Frontend), ""); err != nil {
		t.Error(err)
	}
}
