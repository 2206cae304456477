package natsd

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/cmd/stoker/access"
	"stoker.dev/stoker/cmd/stoker/doorkeeper"
)

var testKey = []byte("0123456789abcdef0123456789abcdef")

const testAdmin = "admin-token"

// patience bounds every wait of these tests; none should come near it.
const patience = 90 * time.Second

func testOptions(t *testing.T, dir string) Options {
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	return Options{StoreDir: dir, Port: -1, Keeper: testKeeper(t), AgentKey: testKey, Logger: log, SyncInterval: DefaultSyncInterval}
}

// testKeeper knows the users of users_test.go, and lets in who has no credentials.
func testKeeper(t testing.TB) *doorkeeper.Keeper {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.yaml")
	for _, u := range testUsers() {
		if err := doorkeeper.Edit(path, func(all access.Users) (access.Users, error) { return all.With(u) }); err != nil {
			t.Fatal(err)
		}
	}
	k, err := doorkeeper.Open(doorkeeper.Options{Token: testAdmin, Users: path, Anonymous: true})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func start(t *testing.T, dir string) *Server {
	t.Helper()
	s, err := Start(t.Context(), testOptions(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func adminJS(t *testing.T, s *Server) jetstream.JetStream {
	t.Helper()
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func TestStreamsSurviveARestart(t *testing.T) {
	dir, ctx := t.TempDir(), testContext(t)
	first := start(t, dir)
	js := adminJS(t, first)
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, Storage: jetstream.FileStorage}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, "s.1", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	stop(t, first)

	stream, err := adminJS(t, start(t, dir)).Stream(ctx, "S")
	if err != nil {
		t.Fatal(err)
	}
	msg, err := stream.GetLastMsgForSubject(ctx, "s.1")
	if err != nil || string(msg.Data) != "kept" {
		t.Fatalf("got %v, %v", msg, err)
	}
}

func TestItListensOnLoopbackOnly(t *testing.T) {
	s := start(t, t.TempDir())
	if addr := s.ns.Addr().(*net.TCPAddr); !addr.IP.IsLoopback() {
		t.Errorf("listens on %v", addr)
	}
}

func TestPortInUseIsAnErrorNotAnExit(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := testOptions(t, t.TempDir())
	o.Port = l.Addr().(*net.TCPAddr).Port
	if _, err := Start(t.Context(), o); !errors.Is(err, ErrStart) || !strings.Contains(err.Error(), "address already in use") {
		t.Fatalf("got %v, want ErrStart with the reason", err)
	}
}

func TestBadStoreDirectoryIsAnErrorNotAnExit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), testOptions(t, filepath.Join(file, "nats"))); !errors.Is(err, ErrStart) {
		t.Fatalf("got %v, want ErrStart", err)
	}
}

func TestJetStreamOffIsUnhealthy(t *testing.T) {
	s := start(t, t.TempDir())
	if err := s.Healthy(); err != nil {
		t.Fatal(err)
	}
	if err := s.ns.DisableJetStream(); err != nil {
		t.Fatal(err)
	}
	if err := s.Healthy(); !errors.Is(err, ErrUnhealthy) {
		t.Fatalf("got %v, want ErrUnhealthy", err)
	}
}

func TestShutdownGivesUpWithItsContext(t *testing.T) {
	s := start(t, t.TempDir())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestCredentials(t *testing.T) {
	s := start(t, t.TempDir())
	for name, tc := range map[string]struct {
		opts []nats.Option
		ok   bool
	}{
		"nothing":           {nil, true},
		"admin token":       {[]nats.Option{nats.Token(testAdmin)}, true},
		"wrong token":       {[]nats.Option{nats.Token("wrong")}, false},
		"cut admin token":   {[]nats.Option{nats.Token(testAdmin[1:])}, false},
		"user and password": {[]nats.Option{nats.UserInfo("admin", testAdmin)}, false},
		"a user's token":    {[]nats.Option{nats.Token(aliceToken)}, true},
		"its hash":          {[]nats.Option{nats.Token(access.Hash(aliceToken))}, false},
		"an nkey":           {[]nats.Option{signedBy(bobSeed)}, true},
		"a stranger's nkey": {[]nats.Option{signedBy(newSeed())}, false},
		"an nkey without its private half": {[]nats.Option{nats.Nkey(publicKey(bobSeed), func([]byte) ([]byte, error) {
			return make([]byte, ed25519Signature), nil
		})}, false},
		"a signature from before": {[]nats.Option{nats.Nkey(publicKey(bobSeed), replayed())}, false},
		"a token beside an nkey":  {[]nats.Option{signedBy(bobSeed), nats.Token(testAdmin)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			nc, err := nats.Connect(s.URL(), append(tc.opts, nats.Timeout(patience))...)
			if tc.ok != (err == nil) {
				t.Fatalf("got %v, want accepted %v", err, tc.ok)
			}
			if err == nil {
				nc.Close()
			} else if !errors.Is(err, nats.ErrAuthorization) {
				t.Errorf("got %v, want ErrAuthorization", err)
			}
		})
	}
}
