package gateway

import (
	"io"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker/access"
	"stoker.dev/stoker/cmd/stoker/api"
)

// TestWhoLostTheirRightsFollowsNoMore, neither events nor logs; others do.
func TestWhoLostTheirRightsFollowsNoMore(t *testing.T) {
	w := newWorld(t)
	header := w.user("alice", access.Deployer, "default")
	alice := api.NewClient(w.server.URL, strings.TrimPrefix(header[1], "Bearer "), w.server.Client())
	from, to := io.Pipe()
	w.control.output = from
	logs, err := alice.Logs(w.ctx(), fn, "r-7", 0, true)
	must(t, err)
	defer logs.Close()
	seen, failed := make(chan api.Event, 10), make(chan error, 1)
	go func() {
		for e, err := range alice.Events(w0(t), api.EventFilter{Namespace: "default", Since: time.Hour, Follow: true}) {
			if err != nil {
				failed <- err
				return
			}
			seen <- e
		}
		failed <- nil
	}()
	must(t, w.bus.Emit(w.ctx(), fn, "function", "one", nil))
	next(t, "an event", seen)

	w.gateway.DisconnectUsers([]string{"bob", ""})
	must(t, w.bus.Emit(w.ctx(), fn, "function", "two", nil))
	next(t, "an event after others went", seen)
	if _, err := io.WriteString(to, "line\n"); err != nil {
		t.Fatal(err)
	}

	w.gateway.DisconnectUsers([]string{"alice"})
	if err := next(t, "the end of the events", failed); err == nil {
		t.Error("the events ended as if that were all")
	}
	if got, err := io.ReadAll(logs); err == nil || string(got) != "line\n" {
		t.Errorf("logs: %q, %v; want them broken off", got, err)
	}
	eventually(t, "nobody is remembered", func() bool {
		f := &w.gateway.following
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.ends) == 0
	})
}
