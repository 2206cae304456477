package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/protocol"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// TestStockClients asks with what people have installed already; none of it knows stoker.
func TestStockClients(t *testing.T) { t.Parallel(); stockClients(t, here) }

func stockClients(t *testing.T, up starter) {
	p := up(t, harness.Options{GPUs: 2})
	llm := p.Function("llm", "-chunks", "5")
	llm.Spec.Runtime.Protocol = functions.ProtocolOpenAI
	llm.Spec.Scaling.KeepAlive = "1m"
	typed := p.Function("typed")
	typed.Spec.Runtime.Protocol = functions.ProtocolCloudEvents
	typed.Spec.Scaling.KeepAlive = "1m"
	p.Apply(llm, typed)

	t.Run("nats request", func(t *testing.T) { natsRequest(t, p) })
	t.Run("nats pub", func(t *testing.T) { natsPub(t, p) })
	t.Run("an unknown function", func(t *testing.T) { unknownFunction(t, p) })
	t.Run("CloudEvents SDK over NATS", func(t *testing.T) { sdkOverNATS(t, p) })
	t.Run("CloudEvents SDK over HTTP", func(t *testing.T) { sdkOverHTTP(t, p) })
	t.Run("OpenAI over HTTP", func(t *testing.T) { openAI(t, p) })
	t.Run("async HTTP", func(t *testing.T) { asyncHTTP(t, p) })
	t.Run("a stream whose server dies", func(t *testing.T) { brokenStream(t, p) })
	t.Run("a caller who goes away", func(t *testing.T) { callerGone(t, p) })
}

// natsAdmin runs the real nats command with the platform's token.
func natsAdmin(t *testing.T, p *harness.Platform, args ...string) (string, error) {
	t.Helper()
	return natsCLI(t, p, append([]string{"--user=" + p.Server.AdminToken, "--inbox-prefix", events.UserInbox("test")}, args...)...)
}

// natsCLI runs the real nats command as a user without credentials.
func natsCLI(t *testing.T, p *harness.Platform, args ...string) (string, error) {
	t.Helper()
	tool := harness.Tool(t, "nats") // it may have to be built first
	ctx, cancel := context.WithTimeout(t.Context(), 2*harness.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool, append([]string{"--server", p.Server.NATS}, args...)...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func natsRequest(t *testing.T, p *harness.Platform) {
	out, err := natsCLI(t, p, "request", "--timeout", "60s", "stoker.invoke.default.llm", `{"prompt":"hi"}`)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	contains(t, "nats request", out, `{\"prompt\":\"hi\"}`, "/v1/completions")
	out, err = natsCLI(t, p, "request", "--timeout", "60s", "--raw", "stoker.invoke.default.nobody", `{}`)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	contains(t, "nats request to an unknown function", out, "404", "nobody")
}

// natsPub publishes asynchronously and reads the record with the same tool, and with stoker's.
func natsPub(t *testing.T, p *harness.Platform) {
	out, err := natsCLI(t, p, "pub", "-H", "ce-specversion:1.0", "-H", "ce-id:from-the-cli", "-H", "ce-source:/cli", "-H", "ce-type:test",
		"stoker.fn.default.llm.standard", `{"prompt":"async"}`)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p.AwaitRecords("llm", []string{"from-the-cli"})
	if out, err := natsCLI(t, p, "stream", "get", "STOKER_RESULTS", "--last-for", "stoker.result.default.llm.from-the-cli"); err == nil {
		t.Errorf("somebody without a token reads what the broker stores:\n%s", out)
	}
	out, err = natsAdmin(t, p, "stream", "get", "STOKER_RESULTS", "--last-for", "stoker.result.default.llm.from-the-cli")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	contains(t, "nats stream get", out, "async", "Stoker-Status: ok")
	contains(t, "stoker result", stoker(t, p, "result", "llm", "from-the-cli"), "async")

	// Without an id, the acknowledgement names the place, and that is the id.
	out, err = natsCLI(t, p, "pub", "--jetstream", "stoker.fn.default.llm.batch", `{"prompt":"bare"}`)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	contains(t, "nats pub --jetstream", out, "STOKER_FN_")
}

func unknownFunction(t *testing.T, p *harness.Platform) {
	out, err := natsCLI(t, p, "pub", "--jetstream", "stoker.fn.default.nobody.standard", `{}`)
	if err == nil {
		t.Errorf("a publish to an unknown function was accepted:\n%s", out)
	}
	js, err := jetstream.New(p.NATS())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := harness.Publish(t.Context(), js, harness.Key("nobody"), functions.Standard, "{}"); err == nil {
		t.Error("the Go client's publish to an unknown function was accepted")
	}
	_, err = p.API.Invoke(t.Context(), api.Call{Key: harness.Key("nobody"), Body: []byte("{}")}, nil)
	if err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("invoke of an unknown function: %v", err)
	}
	if _, stderr, code := tryStoker(t, p, "invoke", "nobody"); code != 3 || !strings.Contains(stderr, "nobody") {
		t.Errorf("stoker invoke nobody: exit code %d, want 3: %s", code, stderr)
	}
}

// sdkEvent makes an event as programs do.
func sdkEvent(t *testing.T, id string) cloudevents.Event {
	t.Helper()
	e := cloudevents.NewEvent()
	e.SetID(id)
	e.SetSource("https://example.org/größe?q=1")
	e.SetType("org.example.question")
	e.SetExtension("tenant", "zwölf %")
	if err := e.SetData(cloudevents.ApplicationJSON, map[string]any{"n": 7}); err != nil {
		t.Fatal(err)
	}
	return e
}

// sdkOverNATS publishes the SDK's own JSON, with the content type of the binding and without any header as the SDK's
// NATS protocol does.
func sdkOverNATS(t *testing.T, p *harness.Platform) {
	js, sources := p.JetStream(), map[string]string{}
	var ids []string
	for _, content := range []string{"application/cloudevents+json", ""} {
		e := sdkEvent(t, "sdk-structured"+map[bool]string{true: "-bare"}[content == ""])
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		m := &nats.Msg{Subject: events.RequestSubject(harness.Key("typed"), functions.Standard), Data: data, Header: nats.Header{}}
		if content != "" {
			m.Header.Set("Content-Type", content)
		}
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		ids, sources[e.ID()] = append(ids, e.ID()), e.Source()
	}
	for id, rec := range p.AwaitRecords("typed", ids) {
		var answer struct{ Echo, Event, Type string }
		if err := json.Unmarshal(rec.Body, &answer); err != nil {
			t.Fatalf("%v: %s", err, rec.Body)
		}
		if rec.Status != events.StatusOK || rec.Source != sources[id] || answer.Event != id || answer.Type != "org.example.question" || answer.Echo != `{"n":7}` {
			t.Errorf("%s: %s from %s: %+v", id, rec.Status, rec.Source, answer)
		}
	}
}

func sdkOverHTTP(t *testing.T, p *harness.Platform) {
	c, err := cloudevents.NewClientHTTP(cloudevents.WithTarget(p.Server.HTTP + "/functions/default/typed"))
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]func(context.Context) context.Context{
		"sdk-http-binary": cloudevents.WithEncodingBinary, "sdk-http-structured": cloudevents.WithEncodingStructured,
	} {
		res := c.Send(mode(t.Context()), sdkEvent(t, name))
		if !protocol.IsACK(res) {
			t.Errorf("%s: %v", name, res)
		}
		if rec := p.AwaitRecords("typed", []string{name})[name]; rec.Status != events.StatusOK {
			t.Errorf("%s: %+v", name, rec)
		}
	}
}

// post sends JSON as any HTTP client does.
func post(t *testing.T, ctx context.Context, url, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func openAI(t *testing.T, p *harness.Platform) {
	url := p.Server.HTTP + "/functions/default/llm/v1/chat/completions"
	resp := post(t, t.Context(), url, `{"model":"m","messages":[{"role":"user","content":"hi"}]}`)
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s (%v)", resp.Status, body, err)
	}
	contains(t, "the answer", string(body), "/v1/chat/completions")

	resp = post(t, t.Context(), url, `{"model":"m","messages":[],"stream":true}`)
	if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/event-stream") {
		t.Fatalf("a stream of %q: %s", got, resp.Status)
	}
	var data []string
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if s, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			data = append(data, s)
		}
	}
	if len(data) != 6 || data[5] != "[DONE]" {
		t.Fatalf("streamed %q, want five pieces and [DONE]", data)
	}
	for i, d := range data[:5] {
		contains(t, "the stream in its order", d, "piece-"+string(rune('0'+i)))
	}
}

func asyncHTTP(t *testing.T, p *harness.Platform) {
	resp := post(t, t.Context(), p.Server.HTTP+"/functions/default/llm?async=1", `{"prompt":"later"}`)
	id := resp.Header.Get("Stoker-Id")
	if resp.StatusCode != http.StatusAccepted || id == "" {
		t.Fatalf("%s, id %q; want 202 and an id", resp.Status, id)
	}
	p.AwaitRecords("llm", []string{id})
	got, err := http.Get(p.Server.HTTP + "/results/default/llm/" + id)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if err != nil || got.StatusCode != http.StatusOK || !bytes.Contains(body, []byte("later")) {
		t.Errorf("GET /results: %s: %s (%v)", got.Status, body, err)
	}
}

// brokenStream wants a marker where a replica died in mid-stream, never a silent gap.
func brokenStream(t *testing.T, p *harness.Platform) {
	resp := post(t, t.Context(), p.Server.HTTP+"/functions/default/llm/v1/completions", `{"stream":true,"do":"break"}`)
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("the stream to the caller broke off: %v\n%s", err, body)
	}
	text := string(body)
	if strings.Contains(text, "[DONE]") {
		t.Errorf("a stream that never ended well looks as if it did:\n%s", text)
	}
	contains(t, "the stream", text, "piece-0", "event: restart", "event: error")
}

// callerGone hangs up in the middle of a long request: its record says so, long before the request would end.
func callerGone(t *testing.T, p *harness.Platform) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Server.HTTP+"/functions/default/llm", strings.NewReader(`{"do":"hang"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Stoker-Id", "hung-up")
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	harness.Eventually(t, "the request runs", func() (bool, any) { return harness.Runs(p.Books("llm"))["hung-up"] > 0, nil })
	cancel()
	<-gone
	if rec := p.AwaitRecords("llm", []string{"hung-up"})["hung-up"]; rec.Cause != events.CauseCancelled {
		t.Errorf("ended with %s (%s), want cause %s", rec.Status, rec.Cause, events.CauseCancelled)
	}
}
