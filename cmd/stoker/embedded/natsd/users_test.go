package natsd

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"stoker.dev/stoker/cmd/stoker/access"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// keyC is of a namespace in which only carol has rights.
var keyC = functions.Key{Namespace: "secret", Name: "c"}

var (
	aliceToken, bobSeed       = access.NewToken("alice"), newSeed()
	carolToken, rootToken     = access.NewToken("carol"), access.NewToken("root")
	viewerToken, everyonesJob = access.NewToken("viewer"), access.NewToken("ci")
)

// testUsers: alice and bob may call functions of namespace default, carol those of another.
func testUsers() []access.User {
	return []access.User{
		{Name: "alice", Role: access.Caller, Namespaces: []string{"default"}, Token: access.Hash(aliceToken)},
		{Name: "bob", Role: access.Deployer, Namespaces: []string{"default"}, NKey: publicKey(bobSeed)},
		{Name: "carol", Role: access.Caller, Namespaces: []string{keyC.Namespace}, Token: access.Hash(carolToken)},
		{Name: "root", Role: access.Admin, Namespaces: []string{access.Everywhere}, Token: access.Hash(rootToken)},
		{Name: "viewer", Role: access.Viewer, Namespaces: []string{access.Everywhere}, Token: access.Hash(viewerToken)},
		{Name: "ci", Role: access.Deployer, Namespaces: []string{access.Everywhere}, Token: access.Hash(everyonesJob)},
	}
}

const ed25519Signature = 64 // bytes

func newSeed() string {
	pair, err := nkeys.CreateUser()
	if err != nil {
		panic(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		panic(err)
	}
	return string(seed)
}

func pairOf(seed string) nkeys.KeyPair {
	pair, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		panic(err)
	}
	return pair
}

func publicKey(seed string) string {
	public, err := pairOf(seed).PublicKey()
	if err != nil {
		panic(err)
	}
	return public
}

func signedBy(seed string) nats.Option { return nats.Nkey(publicKey(seed), pairOf(seed).Sign) }

// replayed answers every nonce with the right signature of another one.
func replayed() nats.SignatureHandler {
	return func([]byte) ([]byte, error) { return pairOf(bobSeed).Sign([]byte("the nonce of another connection")) }
}

func (w world) alice(t *testing.T) peer {
	t.Helper()
	return w.connect(t, nats.Token(aliceToken), nats.CustomInboxPrefix(events.UserInbox("alice")))
}

func (w world) bob(t *testing.T) peer {
	t.Helper()
	return w.connect(t, signedBy(bobSeed), nats.CustomInboxPrefix(events.UserInbox("bob")))
}

// echo answers invokes, as the gateway does for those of agents.
func (w world) echo(t *testing.T) {
	t.Helper()
	platform, err := w.s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(platform.Close)
	if _, err := platform.QueueSubscribe(events.AllInvokes, events.GatewayQueue, func(m *nats.Msg) {
		if events.ReplyAllowed(m.Reply) {
			_ = m.Respond([]byte("pong"))
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := platform.Flush(); err != nil {
		t.Fatal(err)
	}
}

// TestGuestsSendRequests: publish with an acknowledgement, invoke with an answer, and hear of a
// function that is not there, with what is installed everywhere.
func TestGuestsSendRequests(t *testing.T) {
	w := newWorld(t)
	w.echo(t)
	for name, p := range map[string]peer{"public": w.connect(t), "alice": w.alice(t), "bob": w.bob(t)} {
		t.Run(name, func(t *testing.T) {
			ctx := testContext(t)
			ack, err := p.js.Publish(ctx, events.RequestSubject(keyA, class), []byte("hi"))
			if err != nil || ack.Stream != events.ShardStream(0) {
				t.Fatalf("%+v, %v", ack, err)
			}
			unknown := functions.Key{Namespace: "default", Name: "unknown"}
			if _, err := p.js.Publish(ctx, events.RequestSubject(unknown, class), []byte("hi")); !errors.Is(err, jetstream.ErrNoStreamResponse) {
				t.Errorf("publish to an unknown function: got %v, want ErrNoStreamResponse", err)
			}
			msg, err := p.nc.RequestWithContext(ctx, events.InvokeSubject(keyA), []byte("ping"))
			if err != nil || string(msg.Data) != "pong" {
				t.Fatalf("got %v, %v", msg, err)
			}
		})
	}
}

// forbidden is what nobody but the platform and its agents publishes.
func forbidden() map[string]string {
	stream := events.ShardStream(0)
	return map[string]string{
		"delete a stream":            "$JS.API.STREAM.DELETE." + stream,
		"purge a stream":             "$JS.API.STREAM.PURGE." + stream,
		"update a stream":            "$JS.API.STREAM.UPDATE." + stream,
		"make a stream":              "$JS.API.STREAM.CREATE.MINE",
		"list the streams":           "$JS.API.STREAM.NAMES",
		"see which ids there are":    "$JS.API.STREAM.INFO." + events.StreamResults,
		"make a consumer":            "$JS.API.CONSUMER.CREATE." + stream + ".mine",
		"make a consumer of records": "$JS.API.CONSUMER.CREATE." + events.StreamResults + ".mine." + events.AllResults,
		"delete a consumer":          "$JS.API.CONSUMER.DELETE." + stream + "." + events.Consumer(keyA, class),
		"pull":                       "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + events.Consumer(keyA, class),
		"read the queue":             "$JS.API.STREAM.MSG.GET." + stream,
		"read a manifest":            "$JS.API.STREAM.MSG.GET.KV_" + events.BucketFunctions,
		"read a record":              "$JS.API.DIRECT.GET." + events.StreamResults + "." + events.ResultSubject(keyB, "done"),
		"read records by sequence":   "$JS.API.DIRECT.GET." + events.StreamResults,
		"read a dead letter":         "$JS.API.STREAM.MSG.GET." + events.StreamDead,
		"delete a record":            "$JS.API.STREAM.MSG.DELETE." + events.StreamResults,
		"publish a heartbeat":        events.HeartbeatSubject(keyA, "a-1"),
		"order a replica":            events.ControlSubject(keyA, "a-1"),
		"cancel another's request":   events.CancelSubject(keyA),
		"write a record":             events.ResultSubject(keyA, "forged"),
		"write a dead letter":        events.DeadSubject(keyA, class),
		"write a bucket":             "$KV." + events.BucketFunctions + "." + events.StateKey(keyA),
		"answer for a replica":       "_INBOX.someone.1",
		"answer to the gateway":      "_R.gateway.1",
		"pretend a wake":             events.WakeSubject(keyA, class),
		"acknowledge":                "$JS.ACK." + stream + "." + events.Consumer(keyA, class) + ".1.1.1.1.0",
		"system":                     "$SYS.REQ.SERVER.PING",
	}
}

func TestGuestsChangeNothing(t *testing.T) {
	w := newWorld(t)
	guests := map[string]func(*testing.T) peer{"public": func(t *testing.T) peer { return w.connect(t) }, "alice": w.alice, "bob": w.bob}
	for who, connect := range guests {
		p := connect(t)
		for name, subject := range forbidden() {
			if p.mayPublish(t, subject) {
				t.Errorf("%s: %s may publish %s", name, who, subject)
			}
		}
	}
	if info, err := w.js.Stream(testContext(t), events.ShardStream(0)); err != nil || info.CachedInfo().State.Msgs != 2 {
		t.Errorf("the queue changed: %+v, %v", info, err)
	}
}

func TestNobodyOverhears(t *testing.T) {
	w := newWorld(t)
	secrets := []string{
		">", "*", events.AllRequests, events.AllWakes, events.AllHeartbeats, events.AllInvokes, events.AllResults, events.AllDead, "$JS.>", "$KV.>",
		PlatformInbox + ".>", "_R.>", "_R.*.>", "_R.owner.>", events.OwnerInbox() + ".>", events.AllUserInboxes, events.UserInbox("carol") + ".>", "_AGENT.>", "$SYS.>",
	}
	for who, p := range map[string]peer{"public": w.connect(t), "alice": w.alice(t), "bob": w.bob(t)} {
		for _, subject := range secrets {
			if p.maySubscribe(t, subject) {
				t.Errorf("%s may subscribe to %s", who, subject)
			}
		}
	}
	for who, p := range map[string]peer{"alice": w.alice(t), "bob": w.bob(t)} {
		for _, subject := range []string{"_INBOX.>", "_INBOX.x", events.UserInbox("someone") + ".1"} {
			if p.maySubscribe(t, subject) {
				t.Errorf("%s may subscribe to %s", who, subject)
			}
		}
	}
}

// TestAnotherNamespaceIsClosed, and is so in every form a subject takes.
func TestAnotherNamespaceIsClosed(t *testing.T) {
	w := newWorld(t)
	for _, subject := range []string{
		events.RequestSubject(keyC, class), events.InvokeSubject(keyC), "stoker.fn.*.c.standard", "stoker.fn.>", "stoker.fn.*.*.*", "stoker.invoke.*.c",
	} {
		if w.alice(t).mayPublish(t, subject) {
			t.Errorf("alice may publish %s", subject)
		}
	}
	carol := w.connect(t, nats.Token(carolToken), nats.CustomInboxPrefix(events.UserInbox("carol")))
	if !carol.mayPublish(t, events.RequestSubject(keyC, class)) || carol.mayPublish(t, events.RequestSubject(keyA, class)) {
		t.Error("carol's namespace is another one")
	}
	viewer := w.connect(t, nats.Token(viewerToken), nats.CustomInboxPrefix(events.UserInbox("viewer")))
	if viewer.mayPublish(t, events.RequestSubject(keyA, class)) || viewer.mayPublish(t, events.InvokeSubject(keyA)) {
		t.Error("a viewer may send requests")
	}
	ci := w.connect(t, nats.Token(everyonesJob), nats.CustomInboxPrefix(events.UserInbox("ci")))
	if !ci.mayPublish(t, events.RequestSubject(keyA, class)) || !ci.mayPublish(t, events.InvokeSubject(keyC)) {
		t.Error("a deployer of every namespace may not send requests")
	}
}

// TestAcknowledgementsReachTheirSenderAlone: the broker acknowledges a stored message wherever its
// sender asks, with permissions of its own. This is the attack that permissions do not stop.
func TestAcknowledgementsReachTheirSenderAlone(t *testing.T) {
	w, ctx := newWorld(t), testContext(t)
	platform, err := w.s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer platform.Close()
	heard, err := platform.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	if err := platform.Flush(); err != nil {
		t.Fatal(err)
	}
	targets := []string{
		events.ResultSubject(keyA, "forged"), events.ControlSubject(keyA, "a-1"), events.HeartbeatSubject(keyA, "a-1"), events.DeadSubject(keyA, class),
		"$KV." + events.BucketAttempts + "." + events.StateKey(keyA), "$JS.API.STREAM.PURGE." + events.StreamResults, events.InvokeSubject(keyC),
		events.RequestSubject(keyB, class), events.RequestSubject(keyC, class), PlatformInbox + ".1", events.UserInbox("bob") + ".1", events.CancelSubject(keyA),
	}
	sent := 0
	for _, p := range []peer{w.connect(t), w.alice(t)} {
		for _, to := range targets {
			if err := p.nc.PublishMsg(&nats.Msg{Subject: events.RequestSubject(keyA, class), Reply: to, Data: []byte("sent")}); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		if err := p.nc.FlushTimeout(patience); err != nil {
			t.Fatal(err)
		}
	}
	// What follows comes after everything that was caused before it.
	if _, err := w.connect(t).js.Publish(ctx, events.RequestSubject(keyA, class), []byte("last")); err != nil {
		t.Fatal(err)
	}
	for stored := 0; ; {
		m, err := heard.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case string(m.Data) == "last":
			if stored != sent {
				t.Errorf("%d of %d requests were stored", stored, sent)
			}
			return
		case m.Subject == events.RequestSubject(keyA, class) && string(m.Data) == "sent":
			stored++
		case strings.HasPrefix(m.Subject, "$JS.EVENT.ADVISORY.") && strings.Contains(string(m.Data), `"action":"create"`):
			// The broker tells, when it finds the time, what the test set up; none of the targets makes anything.
		case strings.HasPrefix(m.Subject, "_R_."):
			// The broker's own name for a guest's acknowledgement, on its way across the border.
		case m.Subject == events.InvokeSubject(keyC) && m.Reply == "":
			// It crosses, and the gateway takes no invoke that wants no answer.
		default:
			t.Errorf("the platform got %q on %s, answer to %q", m.Data, m.Subject, m.Reply)
		}
	}
}

// TestReservedRepliesAreRefused by the broker itself.
func TestReservedRepliesAreRefused(t *testing.T) {
	w := newWorld(t)
	for _, to := range []string{"_R_.abc", "$JS.ACK." + events.ShardStream(0) + "." + events.Consumer(keyA, class) + ".1.1.1.1.0"} {
		p := w.connect(t)
		if err := p.nc.PublishMsg(&nats.Msg{Subject: events.RequestSubject(keyA, class), Reply: to}); err != nil {
			t.Fatal(err)
		}
		if p.accepted(t) {
			t.Errorf("a reply to %s was accepted", to)
		}
	}
	p := w.connect(t)
	traced := nats.Header{"Nats-Trace-Dest": {events.ControlSubject(keyA, "a-1")}}
	if err := p.nc.PublishMsg(&nats.Msg{Subject: events.RequestSubject(keyA, class), Header: traced}); err != nil {
		t.Fatal(err)
	}
	if p.accepted(t) {
		t.Error("a message may be traced to where its sender may not publish")
	}
}

// TestOwnersHearNoGuests: what an administrator reads would arrive where others listen.
func TestOwnersHearNoGuests(t *testing.T) {
	w, ctx := newWorld(t), testContext(t)
	for name, tok := range map[string]string{"the platform's token": testAdmin, "an admin": rootToken} {
		if w.connect(t, nats.Token(tok)).maySubscribe(t, "_INBOX.x.*") {
			t.Errorf("%s: answers arrive on _INBOX", name)
		}
		p := w.connect(t, nats.Token(tok), nats.CustomInboxPrefix(events.UserInbox("root")))
		if got, err := directGet(ctx, p.nc, events.ResultSubject(keyB, "done")); err != nil || got != "of b" {
			t.Errorf("%s reads a record: %q, %v", name, got, err)
		}
		if !p.mayPublish(t, events.CancelSubject(keyA)) {
			t.Errorf("%s may not cancel", name)
		}
	}
}
