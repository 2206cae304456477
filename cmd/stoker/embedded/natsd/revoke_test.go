package natsd

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"stoker.dev/stoker/cmd/stoker/access"
	"stoker.dev/stoker/cmd/stoker/doorkeeper"
	"stoker.dev/stoker/cmd/stoker/embedded/token"
	"stoker.dev/stoker/events"
)

// TestOthersStayConnected: whoever signs with an nkey is not let go because a replica stopped, or
// because somebody else's rights changed.
func TestOthersStayConnected(t *testing.T) {
	w := newWorld(t)
	lost := make(chan string, 2)
	dial := func(name string, opt nats.Option) *nats.Conn {
		t.Helper()
		nc, err := nats.Connect(w.s.URL(), opt, nats.NoReconnect(), nats.CustomInboxPrefix(events.UserInbox(name)),
			nats.ClosedHandler(func(*nats.Conn) { lost <- name }))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	bob := dial("bob", signedBy(bobSeed))
	for _, step := range []struct {
		name string
		opt  nats.Option
		end  func()
	}{
		{"agent", nats.Token(token.Mint(testKey, token.Claims{Key: keyA, Replica: "a-9", Stream: events.ShardStream(0)}, time.Now())), func() { w.s.Revoke([]string{"a-9"}, time.Now().Add(time.Hour)) }},
		{"alice", nats.Token(aliceToken), func() { w.s.DisconnectUsers([]string{"alice"}) }},
	} {
		dial(step.name, step.opt)
		step.end()
		select {
		case name := <-lost:
			if name != step.name {
				t.Fatalf("%s lost the connection, want %s alone", name, step.name)
			}
		case <-time.After(patience):
			t.Fatalf("%s stays connected", step.name)
		}
		if err := bob.FlushTimeout(patience); err != nil {
			t.Fatalf("bob, after %s was let go: %v", step.name, err)
		}
	}
}

// hasty is a keeper to whom something happens right after it let somebody in.
type hasty struct {
	Keeper
	then func()
}

func (h *hasty) ByToken(token string) (access.Principal, bool) {
	p, ok := h.Keeper.ByToken(token)
	if p.Name == "alice" && h.then != nil {
		then := h.then
		h.then = nil
		then()
	}
	return p, ok
}

// TestWhoIsRemovedWhileConnectingIsNotLetIn: the connection has no name yet that it could be found by.
func TestWhoIsRemovedWhileConnectingIsNotLetIn(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users.yaml")
	for _, u := range testUsers() {
		if err := doorkeeper.Edit(users, func(all access.Users) (access.Users, error) { return all.With(u) }); err != nil {
			t.Fatal(err)
		}
	}
	k, err := doorkeeper.Open(doorkeeper.Options{Token: testAdmin, Users: users})
	if err != nil {
		t.Fatal(err)
	}
	h := &hasty{Keeper: k}
	o := testOptions(t, t.TempDir())
	o.Keeper = h
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	edited := make(chan error, 1)
	h.then = func() {
		edited <- doorkeeper.Edit(users, func(all access.Users) (access.Users, error) {
			all.List = slices.DeleteFunc(all.List, func(u access.User) bool { return u.Name == "alice" })
			return all, nil
		})
		s.DisconnectUsers([]string{"alice"})
	}
	nc, err := nats.Connect(s.URL(), nats.Token(aliceToken))
	if err == nil {
		nc.Close()
	}
	if !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("got %v, want to be refused", err)
	}
	if err := <-edited; err != nil {
		t.Fatal(err)
	}
}

// TestRevokedAgentsAreOut at once, and stay out of the next broker.
func TestRevokedAgentsAreOut(t *testing.T) {
	w := newWorld(t)
	closed := make(chan struct{}, 1)
	tok := token.Mint(testKey, token.Claims{Key: keyA, Replica: "a-1", Stream: events.ShardStream(0)}, time.Now())
	gone, err := nats.Connect(w.s.URL(), nats.Token(tok), nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { closed <- struct{}{} }))
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	other := w.agent(t, keyA, "a-2")
	all := w.s.Revoke([]string{"a-1"}, time.Now().Add(token.Life))
	select {
	case <-closed:
	case <-time.After(patience):
		t.Fatal("the connection of a replica that is gone stays open")
	}
	if _, err := nats.Connect(w.s.URL(), nats.Token(tok)); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("its token: got %v", err)
	}
	if !other.mayPublish(t, events.HeartbeatSubject(keyA, "a-2")) {
		t.Error("its sibling is out too")
	}
	o := testOptions(t, t.TempDir())
	o.Revoked = all
	next, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, next)
	if _, err := nats.Connect(next.URL(), nats.Token(tok)); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("its token at the next broker: got %v", err)
	}
	if left := next.Revoke(nil, time.Time{}); len(left) != 1 {
		t.Errorf("revoked: %v", left)
	}
}

// TestAgentsAreLetGoWhenTheirTokenExpires, and let in again with a renewed one.
func TestAgentsAreLetGoWhenTheirTokenExpires(t *testing.T) {
	s := start(t, t.TempDir())
	claims := token.Claims{Key: keyA, Replica: "a-1", Stream: events.ShardStream(0)}
	// Valid for three to four seconds: an expiry is told in whole ones, and the connection must be made before.
	expired := token.Mint(testKey, claims, time.Now().Add(4*time.Second-token.Life))
	var current atomic.Value
	current.Store(expired)
	lost, back := make(chan struct{}, 1), make(chan struct{}, 1)
	nc, err := nats.Connect(s.URL(), nats.TokenHandler(func() string { return current.Load().(string) }), nats.MaxReconnects(-1), nats.ReconnectWait(time.Millisecond),
		nats.IgnoreAuthErrorAbort(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
		nats.DisconnectErrHandler(func(*nats.Conn, error) {
			current.Store(token.Mint(testKey, claims, time.Now()))
			lost <- struct{}{}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { back <- struct{}{} }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for what, ch := range map[string]chan struct{}{"let go": lost, "back": back} {
		select {
		case <-ch:
		case <-time.After(patience):
			t.Fatalf("not %s", what)
		}
	}
	if _, err := nats.Connect(s.URL(), nats.Token(expired)); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("an expired token: got %v", err)
	}
}

// TestUsersThatChangedAreLetGo, by token and by nkey.
func TestUsersThatChangedAreLetGo(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for name, opt := range map[string]nats.Option{"alice": nats.Token(aliceToken), "bob": signedBy(bobSeed), "": nats.Name("public")} {
		closed := make(chan struct{}, 1)
		nc, err := nats.Connect(w.s.URL(), opt, nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { closed <- struct{}{} }))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		w.s.DisconnectUsers([]string{name})
		select {
		case <-closed:
		case <-ctx.Done():
			t.Fatalf("%q stays connected", name)
		}
	}
}
