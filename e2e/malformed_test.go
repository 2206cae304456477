package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// How many broken events are published, and how.
const (
	malformedEvents = 10_000 // by a client library
	malformedRaw    = 500    // as bytes, which no library would send
	soundEvery      = 1000   // a sound request in between
	// malformedMemory is what the platform may take beside what it had, in bytes.
	malformedMemory = 256 << 20
)

// TestMalformedEvents publishes ten thousand events that are broken in one way or another, from a fixed seed: each is
// refused by the broker or ends in one terminal record, dead letters and memory stay bounded, and sound requests in
// between are answered.
func TestMalformedEvents(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{})
	f := p.Function("robust")
	f.Spec.Scaling.Slots, f.Spec.Scaling.KeepAlive = 32, "1m"
	f.Spec.Queue.Depth = functions.Depth{Interactive: 10_000, Standard: 10_000, Batch: 10_000}
	f.Spec.Queue.Attempts = 1
	p.Apply(f)
	mustInvoke(t, p, "robust", "awake")
	before, watch := resident(t, p.PID()), watchMemory(t, p.PID())
	js := p.JetStream()
	rng := rand.New(rand.NewPCG(20, 26))
	b := broken{expected: map[string]bool{}}
	for i := range malformedEvents {
		if i%soundEvery == 0 {
			mustInvoke(t, p, "robust", "in between")
		}
		b.publish(t, js, malformed(rng, i))
	}
	b.raw(t, p, rng)
	if b.stored == 0 {
		t.Fatal("nothing was stored, so nothing is tested")
	}
	p.Await("robust", "all of them ended", settled)
	checkEndedOnce(t, p, js, &b)
	if most := watch(); most > before+malformedMemory*harness.MemoryFactor {
		t.Errorf("the platform took %d MiB beside the %d MiB it had, want %d at most", (most-before)/mib, before/mib, malformedMemory*harness.MemoryFactor/mib)
	}
	if dead := p.Get("robust").Dead; dead != 0 {
		t.Errorf("%d dead letters: what cannot be read needs no second attempt", dead)
	}
	mustInvoke(t, p, "robust", "still there?")
	if _, err := p.NATS().Request(events.RequestSubject(harness.Key("nobody"), functions.Standard), nil, time.Minute); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("a publish to an unknown function: %v, want that nobody responds", err)
	}
}

// broken counts what became of broken events.
type broken struct {
	stored, refused int
	expected        map[string]bool // what must have a record
}

func (b *broken) publish(t *testing.T, js jetstream.JetStream, m *nats.Msg) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	ack, err := js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
	if err != nil {
		b.refused++
		return
	}
	b.note(m, ack.Stream, ack.Sequence)
}

// note remembers what a stored event must lead to. Broken ids may be equal: then one record answers all that look the
// same.
func (b *broken) note(m *nats.Msg, stream string, seq uint64) {
	b.stored++
	r, _ := events.NewRequest(m.Subject, m.Header, m.Data, stream, seq, time.Now())
	b.expected[fmt.Sprintf("%q %q %d", r.RecordID(), r.Event.Source, r.Event.Redrive)] = true
}

// checkEndedOnce counts the records as they are stored.
func checkEndedOnce(t *testing.T, p *harness.Platform, js jetstream.JetStream, b *broken) {
	t.Helper()
	s, err := js.Stream(t.Context(), events.StreamResults)
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(events.ResultFilter(harness.Key("robust"))))
	if err != nil {
		t.Fatal(err)
	}
	sound := 1 + malformedEvents/soundEvery
	records := len(info.State.Subjects) - sound
	t.Logf("%d refused, %d stored, %d records", b.refused, b.stored, records)
	if records != len(b.expected) {
		t.Errorf("%d records of %d stored events that are different", records, len(b.expected))
	}
	for subject, n := range info.State.Subjects {
		if n != 1 {
			t.Errorf("%d records on %s", n, subject)
		}
	}
}

// raw publishes over a plain connection, header blocks and all.
func (b *broken) raw(t *testing.T, p *harness.Platform, rng *rand.Rand) {
	t.Helper()
	nc := p.NATS()
	sub, err := nc.SubscribeSync("_INBOX.raw.*")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.Server.NATS, "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var out bytes.Buffer
	out.WriteString("CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n")
	for i := range malformedRaw {
		header, data := rawHeader(rng, i), fmt.Sprintf(`{"raw":%d}`, i)
		fmt.Fprintf(&out, "HPUB %s _INBOX.raw.%d %d %d\r\n%s%s\r\n", events.RequestSubject(harness.Key("robust"), functions.Batch), i, len(header), len(header)+len(data), header, data)
	}
	if _, err := conn.Write(out.Bytes()); err != nil {
		t.Fatal(err)
	}
	for range malformedRaw {
		m, err := sub.NextMsg(harness.Patience)
		if err != nil {
			t.Fatalf("after %d stored: %v", b.stored, err)
		}
		var ack struct {
			Stream string
			Seq    uint64
			Error  *struct{ Description string }
		}
		if err := json.Unmarshal(m.Data, &ack); err != nil || ack.Error != nil {
			b.refused++
			continue
		}
		b.noteRaw(ack.Stream, ack.Seq)
	}
}

// noteRaw counts one of which nobody can tell what was read of it: each has an id of its own, or none, and so a record
// of its own.
func (b *broken) noteRaw(stream string, seq uint64) {
	b.stored++
	b.expected[fmt.Sprint("raw ", stream, seq)] = true
}

// rawHeader is a header block as no library writes it.
func rawHeader(rng *rand.Rand, i int) string {
	start := fmt.Sprintf("NATS/1.0\r\nce-specversion: 1.0\r\nce-id: raw-%d\r\nce-source: /raw\r\nce-type: t\r\n", i)
	switch rng.IntN(7) {
	case 0:
		return start + "no colon in this line\r\n\r\n"
	case 1:
		return start + ": no name\r\n\r\n"
	case 2:
		return start + "ce-subject: \x00\x01\x7f\r\n\r\n"
	case 3:
		return start + "ce-subject: \xff\xfe\xfd\r\n\r\n"
	case 4:
		return start + "ce-subject: folded\r\n over two lines\r\n\r\n"
	case 5:
		return start + strings.Repeat("ce-x: y\r\n", 200) + "\r\n"
	default:
		return start + "ce-subject: " + strings.Repeat("long ", 2000) + "\r\n\r\n"
	}
}

// malformed makes event i: a sound one in binary or structured mode, with one or two things broken.
func malformed(rng *rand.Rand, i int) *nats.Msg {
	classes := functions.Classes()
	m := nats.NewMsg(events.RequestSubject(harness.Key("robust"), classes[rng.IntN(len(classes))]))
	if rng.IntN(4) == 0 {
		m.Header["Content-Type"] = []string{"application/cloudevents+json"}
		m.Data = brokenJSON(rng, i)
		return m
	}
	for name, value := range map[string]string{"ce-specversion": "1.0", "ce-id": fmt.Sprint("id-", i), "ce-source": "/e2e", "ce-type": "test"} {
		m.Header[name] = []string{value}
	}
	m.Data = []byte(`{"n":1}`)
	for range 1 + rng.IntN(2) {
		breakOne(rng, m)
	}
	return m
}

func brokenJSON(rng *rand.Rand, i int) []byte {
	whole := fmt.Sprintf(`{"specversion":"1.0","id":"s-%d","source":"/e2e","type":"test","data":{"n":1}}`, i)
	switch rng.IntN(5) {
	case 0:
		return []byte(whole[:rng.IntN(len(whole))])
	case 1:
		return []byte(strings.Replace(whole, `"1.0"`, `"9.9"`, 1))
	case 2:
		return []byte(strings.Replace(whole, `"source":"/e2e",`, "", 1))
	case 3:
		return []byte(strings.Replace(whole, `"data":`, `"data_base64":`, 1))
	default:
		return []byte(strings.Replace(whole, `"test"`, `null`, 1))
	}
}

// breakOne breaks one thing of an event in binary mode.
func breakOne(rng *rand.Rand, m *nats.Msg) {
	switch rng.IntN(20) {
	case 0:
		delete(m.Header, "ce-specversion")
	case 1:
		m.Header["ce-specversion"] = []string{"0.3-pre"}
	case 2:
		delete(m.Header, "ce-source")
	case 3:
		m.Header["ce-id"] = []string{""}
	case 4:
		m.Header["ce-id"] = []string{strings.Repeat("long", 2000)}
	case 5:
		m.Header["ce-id"] = []string{"a.b*c>d %zz %E4%F6 \u202e"}
	case 6:
		m.Header["ce-deadline"] = []string{"tomorrow"}
	case 7:
		m.Header["ce-deadline"] = []string{"1970-01-01T00:00:00Z"}
	case 8:
		m.Header["ce-replyto"] = []string{"stoker.fn.default.robust.standard"}
	case 9:
		m.Header["ce-redrive"] = []string{"-7"}
	case 10:
		m.Header["ce-path"] = []string{"//elsewhere.example/../../etc/passwd"}
	case 11:
		m.Header["ce-subject"] = []string{strings.Repeat("huge", 8000)}
	case 12:
		m.Header["ce-extension"] = []string{"bell \a and tab \t"}
	case 13:
		m.Header["Content-Type"] = []string{[]string{"", "nonsense", "text/", "application/json; charset=", "application/cloudevents-batch+json", "\xff"}[rng.IntN(6)]}
	case 14:
		m.Header["ce-stream"] = []string{"maybe"}
	case 15:
		m.Header["ce-time"] = []string{"yesterday"}
	case 16:
		m.Header["ce-traceparent"] = []string{"00-" + strings.Repeat("z", 600)}
	case 17:
		m.Header["Nats-Expected-Last-Sequence"] = []string{"7"} // the broker's own, used against it
	case 18:
		for n := range 100 {
			m.Header[fmt.Sprint("ce-x", n)] = []string{fmt.Sprint(n)}
		}
	default:
		m.Header["ce-UPPER_and-odd!"] = []string{string([]byte{0xff, 0xfe, 0x01})}
	}
}
