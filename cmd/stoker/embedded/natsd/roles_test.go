package natsd

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/cmd/stoker/embedded/token"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

var (
	keyA = functions.Key{Namespace: "default", Name: "a"}
	keyB = functions.Key{Namespace: "default", Name: "b"}
)

const class = functions.Class("standard")

// world is a broker with two deployed functions on one shard.
type world struct {
	s  *Server
	js jetstream.JetStream // admin
}

func newWorld(t *testing.T) world {
	t.Helper()
	ctx := testContext(t)
	s := start(t, t.TempDir())
	w := world{s, adminJS(t, s)}
	for _, cfg := range []jetstream.StreamConfig{
		{Name: events.ShardStream(0), Subjects: append(events.RequestSubjects(keyA), events.RequestSubjects(keyB)...), Retention: jetstream.WorkQueuePolicy},
		{Name: events.StreamResults, Subjects: []string{events.AllResults}, AllowDirect: true},
		{Name: events.StreamDead, Subjects: []string{events.AllDead}},
	} {
		if _, err := w.js.CreateStream(ctx, cfg); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: events.BucketAttempts, LimitMarkerTTL: time.Second}); err != nil {
		t.Fatal(err)
	}
	for _, k := range []functions.Key{keyA, keyB} {
		w.deploy(t, ctx, k)
	}
	return w
}

// deploy gives a function its consumer, one queued request and one record.
func (w world) deploy(t *testing.T, ctx context.Context, k functions.Key) {
	t.Helper()
	_, err := w.js.CreateConsumer(ctx, events.ShardStream(0), jetstream.ConsumerConfig{
		Durable: events.Consumer(k, class), FilterSubject: events.RequestSubject(k, class), AckPolicy: jetstream.AckExplicitPolicy,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{events.RequestSubject(k, class), events.ResultSubject(k, "done")} {
		if _, err := w.js.Publish(ctx, subject, []byte("of "+k.Name)); err != nil {
			t.Fatal(err)
		}
	}
}

// peer is one connection over TCP with what it did wrong.
type peer struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	denied chan error
}

func (w world) connect(t *testing.T, opts ...nats.Option) peer {
	t.Helper()
	p := peer{denied: make(chan error, 64)}
	opts = append(opts, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { p.denied <- err }))
	nc, err := nats.Connect(w.s.URL(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	p.nc = nc
	if p.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	return p
}

func (w world) agent(t *testing.T, k functions.Key, replica string) peer {
	t.Helper()
	tok := token.Mint(testKey, token.Claims{Key: k, Replica: replica, Stream: events.ShardStream(0)}, time.Now())
	return w.connect(t, nats.Token(tok), nats.CustomInboxPrefix(events.AgentInbox(replica)))
}

// mayPublish flushes after a publish and tells whether the broker objected.
func (p peer) mayPublish(t *testing.T, subject string) bool {
	t.Helper()
	if err := p.nc.Publish(subject, []byte("x")); err != nil {
		t.Fatal(err)
	}
	return p.accepted(t)
}

func (p peer) maySubscribe(t *testing.T, subject string) bool {
	t.Helper()
	sub, err := p.nc.SubscribeSync(subject)
	if err != nil {
		t.Fatal(err)
	}
	ok := p.accepted(t)
	_ = sub.Unsubscribe()
	return ok
}

// accepted relies on order: the broker answers a violation before the flush's pong, and the
// client queues the error for its handler; a second round trip lets the handler run.
func (p peer) accepted(t *testing.T) bool {
	t.Helper()
	if err := p.nc.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
	if p.nc.LastError() == nil {
		return true
	}
	select {
	case err := <-p.denied:
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Fatalf("got %v, want a permission violation", err)
		}
	case <-time.After(patience):
		t.Fatal("violation never reached the handler")
	}
	p.clear(t)
	return false
}

// clear checks that nothing but the one expected violation came.
func (p peer) clear(t *testing.T) {
	t.Helper()
	select {
	case err := <-p.denied:
		t.Fatalf("a second error came: %v", err)
	default:
	}
}

func TestAgentDoesItsOwnWork(t *testing.T) {
	w, ctx := newWorld(t), testContext(t)
	a := w.agent(t, keyA, "a-1")

	consumer, err := a.js.Consumer(ctx, events.ShardStream(0), events.Consumer(keyA, class))
	if err != nil {
		t.Fatal(err)
	}
	msg, err := consumer.Next(jetstream.FetchMaxWait(patience))
	if err != nil || string(msg.Data()) != "of a" {
		t.Fatalf("got %v, %v", msg, err)
	}
	if err := msg.InProgress(); err != nil {
		t.Fatal(err)
	}
	if err := countAttempt(ctx, a.nc, msg); err != nil {
		t.Fatal(err)
	}
	if _, err := a.js.Publish(ctx, events.ResultSubject(keyA, "r1"), []byte("answer")); err != nil {
		t.Fatal(err)
	}
	if err := msg.DoubleAck(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := a.js.Publish(ctx, events.DeadSubject(keyA, class), nil); err != nil {
		t.Fatal(err)
	}
	if got, err := directGet(ctx, a.nc, events.ResultSubject(keyA, "r1")); err != nil || got != "answer" {
		t.Fatalf("reading its own record: %q, %v", got, err)
	}
	for _, subject := range []string{events.HeartbeatSubject(keyA, "a-1"), "_INBOX.caller.1", "_R.gateway.1"} {
		if !a.mayPublish(t, subject) {
			t.Errorf("may not publish %s", subject)
		}
	}
	for _, subject := range []string{events.ControlSubject(keyA, "a-1"), events.CancelSubject(keyA)} {
		if !a.maySubscribe(t, subject) {
			t.Errorf("may not subscribe to %s", subject)
		}
	}
}

// countAttempt counts two failures and forgets them, as the agent does.
func countAttempt(ctx context.Context, nc *nats.Conn, msg jetstream.Msg) error {
	md, err := msg.Metadata()
	if err != nil {
		return err
	}
	bus, err := events.NewBus(nc, nil)
	if err != nil {
		return err
	}
	var last events.Attempts
	for range 2 {
		if last, err = bus.CountFailure(ctx, keyA, md.Stream, md.Sequence.Stream, last); err != nil {
			return err
		}
	}
	if _, err := bus.Attempts(ctx, keyA, md.Stream, md.Sequence.Stream); err != nil {
		return err
	}
	return bus.ForgetAttempts(ctx, keyA, md.Stream, md.Sequence.Stream)
}

func directGet(ctx context.Context, nc *nats.Conn, subject string) (string, error) {
	msg, err := nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+events.StreamResults+"."+subject, nil)
	if err != nil {
		return "", err
	}
	return string(msg.Data), nil
}

func TestAgentReachesNothingOfOthers(t *testing.T) {
	w := newWorld(t)
	stream, other := events.ShardStream(0), events.Consumer(keyB, class)
	for name, subject := range map[string]string{
		"pull from another's consumer":     "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + other,
		"look at another's consumer":       "$JS.API.CONSUMER.INFO." + stream + "." + other,
		"acknowledge another's message":    "$JS.ACK." + stream + "." + other + ".1.1.1.1.0",
		"publish a request":                events.RequestSubject(keyA, class),
		"publish another's request":        events.RequestSubject(keyB, class),
		"invoke":                           events.InvokeSubject(keyB),
		"cancel":                           events.CancelSubject(keyB),
		"write another's record":           events.ResultSubject(keyB, "x"),
		"read another's record":            "$JS.API.DIRECT.GET." + events.StreamResults + "." + events.ResultSubject(keyB, "done"),
		"read records by sequence":         "$JS.API.DIRECT.GET." + events.StreamResults,
		"read records through the old API": "$JS.API.STREAM.MSG.GET." + events.StreamResults,
		"read the queue":                   "$JS.API.STREAM.MSG.GET." + stream,
		"another's dead letters":           events.DeadSubject(keyB, class),
		"another's attempts":               "$KV." + events.BucketAttempts + "." + events.AttemptKey(keyB, stream, 1),
		"manifests":                        "$JS.API.DIRECT.GET.KV_" + events.BucketFunctions + ".$KV." + events.BucketFunctions + "." + events.StateKey(keyA),
		"heartbeat of a sibling":           events.HeartbeatSubject(keyA, "a-2"),
		"heartbeat of another function":    events.HeartbeatSubject(keyB, "b-1"),
		"order a sibling":                  events.ControlSubject(keyA, "a-2"),
		"make a consumer":                  "$JS.API.CONSUMER.CREATE." + stream + ".mine",
		"delete a stream":                  "$JS.API.STREAM.DELETE." + stream,
		"purge a stream":                   "$JS.API.STREAM.PURGE." + events.StreamResults,
		"write into a sibling's inbox":     events.AgentInbox("a-2") + ".1",
	} {
		t.Run(name, func(t *testing.T) {
			if w.agent(t, keyA, "a-1").mayPublish(t, subject) {
				t.Errorf("agent of %s may publish %s", keyA, subject)
			}
		})
	}
	for name, subject := range map[string]string{
		"inboxes": "_INBOX.>", "sibling's inbox": events.AgentInbox("a-2") + ".>", "platform's inbox": PlatformInbox + ".>",
		"requests": events.AllRequests, "wakes": events.AllWakes, "records": events.AllResults, "everything": ">",
		"orders to a sibling": events.ControlSubject(keyA, "a-2"), "cancels of another": events.CancelSubject(keyB),
	} {
		t.Run("subscribe to "+name, func(t *testing.T) {
			if w.agent(t, keyA, "a-1").maySubscribe(t, subject) {
				t.Errorf("agent of %s may subscribe to %s", keyA, subject)
			}
		})
	}
}
