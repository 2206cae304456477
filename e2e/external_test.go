package e2e

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// TestExternalServers does the main job on servers that stoker did not start: a plain NATS server with a token and
// a Temporal server.
func TestExternalServers(t *testing.T) {
	t.Parallel()
	const token = "not-for-the-log"
	at := harness.StartServers(t, token, "")
	p := harness.Up(t, harness.Options{Env: append(at.TemporalEnv(), "STOKER_NATS_URL="+at.NATS)})
	p.Apply(p.Function("elsewhere"))
	p.AwaitZero("elsewhere")
	nc, err := nats.Connect(at.NATS)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	m, err := nc.RequestWithContext(t.Context(), events.InvokeSubject(harness.Key("elsewhere")), []byte("over there"))
	if err != nil {
		t.Fatal(err)
	}
	contains(t, "the answer", string(m.Data), "over there")
	a, err := p.API.Invoke(t.Context(), api.Call{Key: harness.Key("elsewhere"), Body: []byte("by HTTP"), Class: functions.Standard}, nil)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, "the answer over HTTP", string(a.Body), "by HTTP")
	p.AwaitZero("elsewhere")

	if said := p.Log(); strings.Contains(said, token) {
		t.Errorf("the log holds the token:\n%s", said)
	}
	contains(t, "what up says", p.Log(), at.Temporal)
	if s := stoker(t, p, "config"); strings.Contains(s, token) {
		t.Errorf("stoker config prints the token:\n%s", s)
	}
}
