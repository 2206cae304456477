package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

const (
	// deafCallers ask for a long stream each and read nothing of it: together 200 MiB.
	deafCallers = 8
	deafChunks  = 400
	deafChunk   = 64 << 10 // bytes
	// deafMemory is what they may cost the platform, in bytes: the bound of what waits for all callers, and what the
	// broker keeps for a client before it throws it out (64 MiB).
	deafMemory = 384 << 20
)

// TestCallersThatNeverRead asks for long streams over HTTP and NATS and reads none of them. Their requests end, their
// slots are free again, others are answered meanwhile, and the platform's memory is bounded.
func TestCallersThatNeverRead(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{})
	f := p.Function("chatty", "-chunks", fmt.Sprint(deafChunks), "-chunk-size", fmt.Sprint(deafChunk))
	f.Spec.Scaling = functions.Scaling{Min: 1, Max: 1, Slots: deafCallers + 1, KeepAlive: "10m"}
	f.Spec.Runtime.Protocol = functions.ProtocolOpenAI
	p.Apply(f)
	p.Await("chatty", "ready", func(f api.Function) bool { return f.Ready == 1 })
	before, watch := resident(t, p.PID()), watchMemory(t, p.PID())
	for i := range deafCallers {
		id := fmt.Sprint("deaf-", i)
		if i%2 == 0 {
			deafHTTP(t, p, id)
		} else {
			deafNATS(t, p, id)
		}
	}
	ids := []string{}
	for i := range deafCallers {
		ids = append(ids, fmt.Sprint("deaf-", i))
	}
	harness.Eventually(t, "they all run", func() (bool, any) {
		runs := harness.Runs(p.Books("chatty"))
		return len(runs) >= deafCallers, runs
	})
	resp := post(t, t.Context(), p.Server.HTTP+"/functions/default/chatty/v1/completions", `{"stream":true}`)
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(body), "[DONE]") {
		t.Errorf("a caller that reads got %d bytes, no end (%v)", len(body), err)
	}
	for id, rec := range p.AwaitRecords("chatty", ids) {
		if rec.Status != events.StatusOK && rec.Cause != events.CauseCancelled {
			t.Errorf("%s: %s (%s): %s", id, rec.Status, rec.Cause, rec.Message)
		}
	}
	p.Await("chatty", "no slot held", func(f api.Function) bool { return f.InFlight == 0 })
	most := watch()
	t.Logf("%d callers that read nothing of %d MiB each: %d MiB before, %d MiB at most", deafCallers, deafChunks*deafChunk/mib, before/mib, most/mib)
	if most > before+deafMemory*harness.MemoryFactor {
		t.Errorf("the platform took %d MiB beside the %d MiB it had, want %d at most", (most-before)/mib, before/mib, deafMemory*harness.MemoryFactor/mib)
	}
}

// deafHTTP asks over a plain connection, and reads nothing.
func deafHTTP(t *testing.T, p *harness.Platform, id string) {
	t.Helper()
	body := `{"stream":true}`
	deaf(t, strings.TrimPrefix(p.Server.HTTP, "http://"), fmt.Sprintf(
		"POST /functions/default/chatty/v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nStoker-Id: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", id, len(body), body))
}

// deafNATS subscribes to its answer and reads nothing.
func deafNATS(t *testing.T, p *harness.Platform, id string) {
	t.Helper()
	body := `{"stream":true}`
	header := fmt.Sprintf("NATS/1.0\r\nStoker-Id: %s\r\nce-stream: true\r\nContent-Type: application/json\r\n\r\n", id)
	deaf(t, strings.TrimPrefix(p.Server.NATS, "nats://"), fmt.Sprintf(
		"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nSUB _INBOX.%[1]s 1\r\nHPUB %[2]s _INBOX.%[1]s %[3]d %[4]d\r\n%[5]s%[6]s\r\n",
		id, events.InvokeSubject(harness.Key("chatty")), len(header), len(header)+len(body), header, body))
}

func deaf(t *testing.T, address, request string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
}

// signalFlood is how many heartbeats and wakes are sent that nobody sent for.
const signalFlood = 200_000

// TestFloodOfSignals sends the controller more heartbeats and wakes than it can take: it takes what it can, loses
// nothing that counts, and keeps deciding.
func TestFloodOfSignals(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{})
	f := p.Function("calm")
	f.Spec.Scaling.KeepAlive = "500ms"
	p.Apply(f)
	mustInvoke(t, p, "calm", "before")
	p.AwaitZero("calm")
	before, watch := resident(t, p.PID()), watchMemory(t, p.PID())
	nc := p.Admin()
	beat := []byte(`{"phase":"ready","at":"2026-11-27T00:00:00Z"}`)
	for i := range signalFlood {
		subject := events.HeartbeatSubject(harness.Key("nobody"), fmt.Sprint("ghost-", i%100))
		if i%2 == 1 {
			subject = events.WakeSubject(harness.Key("nobody"), functions.Standard)
		}
		if err := nc.Publish(subject, beat); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	if err := nc.FlushTimeout(harness.Patience); err != nil {
		t.Fatal(err)
	}
	mustInvoke(t, p, "calm", "in the middle of it")
	most := watch()
	t.Logf("%d signals; answered %v after the last; %d MiB before, %d MiB at most", signalFlood, time.Since(begun).Round(time.Millisecond), before/mib, most/mib)
	if most > before+malformedMemory*harness.MemoryFactor {
		t.Errorf("the platform took %d MiB beside the %d MiB it had, want %d at most", (most-before)/mib, before/mib, malformedMemory*harness.MemoryFactor/mib)
	}
	resp, err := http.Get(p.Server.HTTP + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("/readyz: %s", resp.Status)
	}
}
