package natsd

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

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
