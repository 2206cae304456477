package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// malformedEvents is how many broken events are published.
const malformedEvents = 1000

// TestMalformedEvents publishes a thousand events that are broken in one way or another, from a fixed seed: each is
// refused by the broker or ends in one terminal record, and the function goes on serving.
func TestMalformedEvents(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{})
	f := p.Function("robust")
	f.Spec.Scaling.Slots, f.Spec.Scaling.KeepAlive = 32, "1m"
	f.Spec.Queue.Depth = functions.Depth{Interactive: 5000, Standard: 5000, Batch: 5000}
	f.Spec.Queue.Attempts = 1
	p.Apply(f)
	js := p.JetStream()
	rng := rand.New(rand.NewPCG(20, 26))
	stored, refused, expected := 0, 0, map[string]bool{}
	for i := range malformedEvents {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		m := malformed(rng, i)
		ack, err := js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
		cancel()
		if err != nil {
			refused++
			continue
		}
		stored++
		// Broken ids may be equal: then one record answers all that look the same.
		r, _ := events.NewRequest(m.Subject, m.Header, m.Data, ack.Stream, ack.Sequence, time.Now())
		expected[fmt.Sprintf("%q %q %d", r.RecordID(), r.Event.Source, r.Event.Redrive)] = true
	}
	if stored == 0 {
		t.Fatal("nothing was stored, so nothing is tested")
	}
	s, err := js.Stream(t.Context(), events.StreamResults)
	if err != nil {
		t.Fatal(err)
	}
	p.Await("robust", "all of them ended", settled)
	info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(events.ResultFilter(harness.Key("robust"))))
	if err != nil {
		t.Fatal(err)
	}
	records := len(info.State.Subjects)
	t.Logf("%d refused, %d stored, %d records", refused, stored, records)
	if records != len(expected) {
		t.Errorf("%d records of %d stored events that are different", records, len(expected))
	}
	for subject, n := range info.State.Subjects {
		if n != 1 {
			t.Errorf("%d records on %s", n, subject)
		}
	}
	mustInvoke(t, p, "robust", "still there?")
	if _, err := p.NATS().Request(events.RequestSubject(harness.Key("nobody"), functions.Standard), nil, time.Minute); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("a publish to an unknown function: %v, want that nobody responds", err)
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
	switch rng.IntN(12) {
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
	default:
		m.Header["ce-UPPER_and-odd!"] = []string{string([]byte{0xff, 0xfe, 0x01})}
	}
}
