package events

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"stoker.dev/stoker/events/eventstest"
	"stoker.dev/stoker/functions"
)

// TestConnectionOutlivesItsBroker starts without a broker, and comes back to the same port
// after a restart, as an agent does when the platform is killed.
func TestConnectionOutlivesItsBroker(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	address := "nats://127.0.0.1:" + strconv.Itoa(port)
	states := make(chan bool, 100)
	b, err := Connect(NATSAccess{URL: address}, ConnectOptions{Name: "agent", OnState: func(up bool) { states <- up }})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.WaitConnected(ctx); !errors.Is(err, ErrNotConnected) {
		t.Errorf("got %v, want ErrNotConnected", err)
	}
	for range 2 {
		s := eventstest.Server(t, func(o *server.Options) { o.Port = port })
		for up := false; !up; up = next(t, states) {
		}
		if err := b.WaitConnected(patient(t)); err != nil {
			t.Fatal(err)
		}
		flush(t, b)
		s.Shutdown()
		s.WaitForShutdown()
		for next(t, states) {
		}
	}
}

func TestCommandLineConnectionFailsAtOnce(t *testing.T) {
	_, err := Connect(NATSAccess{URL: "nats://user:secret@127.0.0.1:1"}, ConnectOptions{Once: true})
	if !errors.Is(err, ErrNotConnected) || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "STOKER_NATS_URL") {
		t.Errorf("got %v", err)
	}
}

func TestWrongTokenIsSaidSo(t *testing.T) {
	s := eventstest.Server(t, func(o *server.Options) { o.Authorization = "right" })
	_, err := Connect(NATSAccess{URL: s.ClientURL(), Token: "wrong"}, ConnectOptions{Once: true})
	if !errors.Is(err, ErrNotConnected) || !strings.Contains(err.Error(), "token") {
		t.Errorf("got %v", err)
	}
	b, err := Connect(NATSAccess{URL: s.ClientURL(), Token: "right"}, ConnectOptions{Once: true})
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	if _, err := b.Attempts(t.Context(), tiny, "S", 1); !errors.Is(err, ErrNotConnected) {
		t.Errorf("on a closed connection: %v", err)
	}
}

func TestInProcessNeedsNoSocket(t *testing.T) {
	s := eventstest.Server(t, func(o *server.Options) { o.DontListen = true })
	b, err := Connect(NATSAccess{}, ConnectOptions{Once: true, InProcess: s})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Ensure(t.Context(), StreamOptions{}); err != nil {
		t.Error(err)
	}
}

// guarded runs a broker with the roles of the embedded one: an admin, the agent of a
// replica of tiny, and everybody else.
func guarded(t *testing.T) (admin, agent, client *Bus) {
	t.Helper()
	s := eventstest.Server(t, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "admin", Password: "p"},
			{Username: "agent", Password: "p", Permissions: serverPermissions(AgentPermissions(tiny, "r-1", ShardStream(3)))},
			{Username: "client", Password: "p", Permissions: serverPermissions(PublicPermissions())},
		}
	})
	open := func(user, inbox string) *Bus {
		u, err := url.Parse(s.ClientURL())
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(user, "p")
		b, err := Connect(NATSAccess{URL: u.String()}, ConnectOptions{Name: user, Once: true, InboxPrefix: inbox})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		return b
	}
	admin = open("admin", "")
	if err := admin.Ensure(t.Context(), StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := admin.Deploy(t.Context(), tiny, 3); err != nil {
		t.Fatal(err)
	}
	if err := admin.OpenQueue(t.Context(), tiny, 3); err != nil {
		t.Fatal(err)
	}
	return admin, open("agent", AgentInbox("r-1")), open("client", "")
}

func serverPermissions(p Permissions) *server.Permissions {
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: p.Publish},
		Subscribe: &server.SubjectPermission{Allow: p.Subscribe},
	}
}

// TestAgentPermissionsSuffice takes a request through everything an agent does.
func TestAgentPermissionsSuffice(t *testing.T) {
	admin, agent, client := guarded(t)
	ctx := t.Context()
	beats := make(chan Heartbeat, 1)
	if _, err := admin.OnHeartbeat(func(_ functions.Key, h Heartbeat) { beats <- h }); err != nil {
		t.Fatal(err)
	}
	if _, err := agent.OnControl(tiny, "r-1", func(Control) (string, error) { return "", nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := agent.OnCancel(tiny, func(string) {}); err != nil {
		t.Fatal(err)
	}
	inbox := client.nc.NewInbox()
	replies := recorder(t, client, inbox)
	if _, err := client.Publish(ctx, Event{ID: "1", ReplyTo: inbox}, tiny, functions.Standard); err != nil {
		t.Fatal(err)
	}
	in, got := openIntake(t, agent)
	if err := in.Ask(1, 1, patience, 1); err != nil {
		t.Fatal(err)
	}
	d := next(t, got.requests)
	for _, err := range []error{
		d.Working(),
		agent.Bury(ctx, d.Request, Attempts{}),
		agent.Beat(tiny, Heartbeat{Replica: "r-1"}),
		admin.SendControl(ctx, tiny, "r-1", Control{Op: OpDrain}),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if a, err := agent.CountFailure(ctx, tiny, d.Request.Stream, d.Request.Seq, Attempts{}); err != nil || a.Failures != 1 {
		t.Errorf("%+v, %v", a, err)
	}
	if err := agent.ForgetAttempts(ctx, tiny, d.Request.Stream, d.Request.Seq); err != nil {
		t.Error(err)
	}
	rec, err := agent.WriteRecord(ctx, d.Request.Record(StatusOK, "", ""), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := agent.WriteRecord(ctx, d.Request.Record(StatusOK, "", ""), 0); !errors.Is(err, ErrRecordExists) {
		t.Errorf("got %v, want ErrRecordExists", err)
	}
	if err := d.Ack(ctx); err != nil {
		t.Error(err)
	}
	if err := agent.Reply(d.Request.Event.ReplyTo, rec); err != nil {
		t.Error(err)
	}
	if m := next(t, replies); m.Header.Get(HeaderStatus) != "ok" {
		t.Errorf("%v", m.Header)
	}
	next(t, beats)
	if rec, err := admin.GetRecord(ctx, tiny, "1", ""); err != nil || rec.Status != StatusOK {
		t.Errorf("the record is %+v, %v", rec, err)
	}
}

// TestPermissionsEndThere tries what neither an agent nor a client may do.
func TestPermissionsEndThere(t *testing.T) {
	_, agent, client := guarded(t)
	other := functions.Key{Namespace: "default", Name: "other"}
	for name, c := range map[string]struct {
		b       *Bus
		subject string
	}{
		"agent publishes requests":         {agent, RequestSubject(tiny, functions.Batch)},
		"agent pulls for another function": {agent, NextSubject(ShardStream(3), Consumer(other, functions.Batch))},
		"agent writes another's record":    {agent, ResultSubject(other, "1")},
		"agent reads another's record":     {agent, apiDirectGet(StreamResults, ResultSubject(other, "1"))},
		"agent beats for another replica":  {agent, HeartbeatSubject(tiny, "r-2")},
		"agent orders another":             {agent, ControlSubject(tiny, "r-2")},
		"agent reads streams":              {agent, "$JS.API.STREAM.MSG.GET." + ShardStream(3)},
		"agent reads functions":            {agent, apiDirectGet(bucketStream(BucketFunctions), bucketSubject(BucketFunctions, StateKey(tiny)))},
		"agent counts another's failures":  {agent, bucketSubject(BucketAttempts, AttemptKey(other, "S", 1))},
		"client writes a record":           {client, ResultSubject(tiny, "1")},
		"client beats":                     {client, HeartbeatSubject(tiny, "r-1")},
		"client orders":                    {client, ControlSubject(tiny, "r-1")},
		"client purges":                    {client, "$JS.API.STREAM.PURGE." + StreamResults},
		"client pulls":                     {client, NextSubject(ShardStream(3), Consumer(tiny, functions.Batch))},
		"client changes functions":         {client, bucketSubject(BucketFunctions, StateKey(tiny))},
		"client reads requests":            {client, "$JS.API.STREAM.MSG.GET." + ShardStream(3)},
		"client reads records":             {client, apiDirectGet(StreamResults, ResultSubject(tiny, "1"))},
		"client lists ids":                 {client, "$JS.API.STREAM.INFO." + StreamResults},
		"client cancels":                   {client, CancelSubject(tiny)},
	} {
		t.Run(name, func(t *testing.T) {
			refused := make(chan error, 10)
			c.b.nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err })
			if err := c.b.nc.Publish(c.subject, []byte("{}")); err != nil {
				t.Fatal(err)
			}
			if err := next(t, refused); !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestAgentHearsOnlyItsOwn tries subscriptions an agent has no use for.
func TestAgentHearsOnlyItsOwn(t *testing.T) {
	_, agent, client := guarded(t)
	for subject, b := range map[string]*Bus{
		AllRequests: agent, "_INBOX.>": agent, AgentInbox("r-2") + ".>": agent, ControlSubject(tiny, "r-2"): agent, ">": agent,
		"_R.>": client, AllHeartbeats: client, "$JS.ACK.>": client, AllWakes: client,
	} {
		refused := make(chan error, 10)
		b.nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err })
		if _, err := b.nc.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		if err := next(t, refused); !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("%s: %v", subject, err)
		}
	}
}

// TestTheTokenIsReadAtEveryConnect: it is renewed while its bearer tries to come back.
func TestTheTokenIsReadAtEveryConnect(t *testing.T) {
	s := eventstest.Server(t, func(o *server.Options) { o.Authorization = "renewed" })
	path := filepath.Join(t.TempDir(), "agent.token")
	b, err := Connect(NATSAccess{URL: s.ClientURL(), TokenFile: path}, ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, content := range []string{"", "\n", "expired\n"} { // missing, empty, blank, old: none of them is let in
		ctx, cancel := context.WithTimeout(t.Context(), 2*reconnectWait)
		if err := b.WaitConnected(ctx); err == nil {
			t.Errorf("connected before %q", content)
		}
		cancel()
		if tokenOf(path)() == "" {
			t.Error("a bearer without its token says that it has none, and would be let in as a stranger")
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, []byte("renewed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := b.WaitConnected(ctx); err != nil {
		t.Error(err)
	}
}
