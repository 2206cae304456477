package doorkeeper

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker/access"
)

// patience bounds every wait of these tests.
const patience = 90 * time.Second

const own = "the platform's token"

func add(t *testing.T, path, name string, role access.Role, namespaces ...string) (token string) {
	t.Helper()
	token = access.NewToken(name)
	err := Edit(path, func(u access.Users) (access.Users, error) {
		return u.With(access.User{Name: name, Role: role, Namespaces: namespaces, Token: access.Hash(token)})
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func remove(t *testing.T, path, name string) {
	t.Helper()
	if err := Edit(path, func(u access.Users) (access.Users, error) { return u.Without(name) }); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, o Options) *Keeper {
	t.Helper()
	o.Token = own
	k, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWhoComesIn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	k := open(t, Options{Users: path, Anonymous: true})
	if p, ok := k.ByToken(""); !ok || !p.May(access.ReadRecords, "a") {
		t.Errorf("nobody, while there are no users: %+v, %t", p, ok)
	}
	alice := add(t, path, "alice", access.Caller, "a")
	if p, ok := k.ByToken(""); !ok || p.May(access.ReadRecords, "a") {
		t.Errorf("nobody, once there are users: %+v, %t", p, ok)
	}
	if p, ok := k.ByToken(own); !ok || p.Role != access.Admin {
		t.Errorf("the platform's token: %+v, %t", p, ok)
	}
	if p, ok := k.ByToken(alice); !ok || p.Name != "alice" || p.May(access.Invoke, "b") {
		t.Errorf("alice: %+v, %t", p, ok)
	}
	for _, wrong := range []string{"x", own + "x", own[1:], alice + "x", strings.ToUpper(alice), access.Hash(alice), access.Hash(own)} {
		if p, ok := k.ByToken(wrong); ok {
			t.Errorf("%q came in as %+v", wrong, p)
		}
	}
	remove(t, path, "alice")
	if p, ok := k.ByToken(alice); ok {
		t.Errorf("a removed user came in: %+v", p)
	}
}

func TestNobodyComesInWhereAnonymousIsOff(t *testing.T) {
	k := open(t, Options{Users: filepath.Join(t.TempDir(), "users.yaml")})
	if p, ok := k.ByToken(""); ok {
		t.Errorf("%+v", p)
	}
	none, err := Open(Options{Users: filepath.Join(t.TempDir(), "users.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := none.ByToken(""); ok { // an empty token of the platform's own is nobody's
		t.Errorf("%+v", p)
	}
}

// TestABadFileChangesNothing: neither does it lock out those who are in, nor does it let anybody in.
func TestABadFileChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	alice := add(t, path, "alice", access.Caller, "a")
	var log bytes.Buffer
	k := open(t, Options{Users: path, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err := os.WriteFile(path, []byte("users: [{name: eve, role: admin}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, ok := k.ByToken(alice); !ok || k.Users() != 1 {
			t.Error("alice is out")
		}
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &log)
	}
	if _, err := Open(Options{Users: path}); !errors.Is(err, access.ErrUsers) || !strings.Contains(err.Error(), path) {
		t.Errorf("a start with it: %v", err)
	}
}

// TestRunTellsWhoLostRights, by name.
func TestRunTellsWhoLostRights(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	k := open(t, Options{Users: path})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	gone := make(chan []string)
	go k.Run(ctx, func(names []string) { gone <- names })
	want := func(names ...string) {
		t.Helper()
		select {
		case got := <-gone:
			if slices.Sort(got); !slices.Equal(got, names) {
				t.Errorf("gone %q, want %q", got, names)
			}
		case <-ctx.Done():
			t.Fatalf("nobody told of %q", names)
		}
	}
	add(t, path, "alice", access.Caller, "a")
	want("") // those without a token may no longer read records
	add(t, path, "bob", access.Caller, "a")
	if err := Edit(path, func(u access.Users) (access.Users, error) { return u.WithToken("alice", access.NewToken("alice")) }); err != nil {
		t.Fatal(err)
	}
	want("alice")
	remove(t, path, "alice")
	remove(t, path, "bob")
	want("", "alice", "bob")
}

// TestEditsAtOnceAreAllKept.
func TestEditsAtOnceAreAllKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "users.yaml")
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		wg.Go(func() { add(t, path, name, access.Viewer, "*") })
	}
	wg.Wait()
	u, err := Read(path)
	if err != nil || len(u.List) != 6 {
		t.Errorf("%+v, %v", u, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != fileMode {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := Edit(path, func(u access.Users) (access.Users, error) { u.List[0].Role = "root"; return u, nil }); !errors.Is(err, access.ErrUsers) {
		t.Errorf("an edit that breaks the file: %v", err)
	}
}
