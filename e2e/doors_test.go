package e2e

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/certtest"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
)

// doorName is what the certificates of these tests are for.
const doorName = "stoker.test"

// TestOffLoopback: other machines reach the platform by TLS and with a token, or not at all. The test itself stays
// on loopback.
func TestOffLoopback(t *testing.T) {
	t.Parallel()
	pair := certtest.New(t, doorName)
	cert, key := pair.CertFile, pair.KeyFile
	p := harness.New(t, harness.Options{Args: []string{"--listen", "0.0.0.0:0", "--nats-listen", "0.0.0.0", "--tls-cert", cert, "--tls-key", key}})
	refused(t, p, []string{"--listen", "0.0.0.0:0"}, "wants TLS")
	refused(t, p, []string{"--nats-listen", "0.0.0.0"}, "wants TLS")
	refused(t, p, []string{"--listen", "0.0.0.0:0", "--tls-cert", cert, "--tls-key", key}, "stoker user add")
	alice := strings.TrimSpace(stoker(t, p, "user", "add", "alice", "--role", "caller", "--in", "default"))
	p.Start()

	p.Apply(p.Function("guarded"))
	hc, err := api.Trust(cert, doorName)
	if err != nil {
		t.Fatal(err)
	}
	for path, token := range map[string]string{"/metrics": "", "/api/v1/functions": "", "/temporal/": "", "/results/default/guarded/x": "", "/api/v1/status": "wrong"} {
		if code, body := ask(t, hc, p.Server.HTTP+path, token); code != http.StatusUnauthorized {
			t.Errorf("%s with token %q: %d %s", path, token, code, body)
		}
	}
	if code, body := ask(t, hc, p.Server.HTTP+"/api/v1/functions", alice); code != http.StatusOK || !strings.Contains(body, "guarded") {
		t.Errorf("alice looks: %d %s", code, body)
	}
	plain := strings.Replace(p.Server.HTTP, "https://", "http://", 1)
	if code, body := ask(t, nil, plain+"/api/v1/functions", alice); code == http.StatusOK {
		t.Errorf("without TLS: %d %s", code, body)
	}
	if nc, err := nats.Connect(p.Server.NATS, nats.RootCAs(cert)); err == nil {
		nc.Close()
		t.Error("a NATS client without credentials is let in")
	}
	answered(t, p, cert, alice)
	p.Kill9()
	p.Start() // the agent comes back by TLS too
	answered(t, p, cert, alice)
}

// refused starts a platform that shall not start.
func refused(t *testing.T, p *harness.Platform, args []string, why string) {
	t.Helper()
	cmd := p.Command(t.Context(), append([]string{"up", "--random-ports", "--listen", "127.0.0.1:0"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), why) {
		t.Errorf("up %v: %v, want an error with %q:\n%s", args, err, why, out)
	}
}

// ask gets an address with a token, or without one.
func ask(t *testing.T, hc *http.Client, url, token string) (int, string) {
	t.Helper()
	if hc == nil {
		hc = http.DefaultClient
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := hc.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// answered sends a request as alice, over NATS, and waits for the answer of a replica.
func answered(t *testing.T, p *harness.Platform, cert, token string) {
	t.Helper()
	b, err := events.Connect(events.NATSAccess{URL: p.Server.NATS, Token: token, CA: cert, ServerName: doorName},
		events.ConnectOptions{Once: true, InboxPrefix: events.UserInbox("alice")})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	m, err := b.Conn().Request(events.InvokeSubject(harness.Key("guarded")), []byte("knock"), harness.Patience)
	if err != nil || !bytes.Contains(m.Data, []byte("knock")) {
		t.Fatalf("%v, %v", m, err)
	}
}

// TestAReplicasTokenEndsWithIt: a copy of it is worth nothing once the replica is gone, before and after a restart.
func TestAReplicasTokenEndsWithIt(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{})
	f := p.Function("brief")
	f.Spec.Scaling.KeepAlive = "10m"
	p.Apply(f)
	mustInvoke(t, p, "brief", "x")
	files, err := filepath.Glob(filepath.Join(p.Dir, "replicas", "*", "agent.token"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(data))
	nc, err := nats.Connect(p.Server.NATS, nats.Token(token), nats.MaxReconnects(0))
	if err != nil {
		t.Fatalf("while it lives: %v", err)
	}
	defer nc.Close()
	stoker(t, p, "scale", "brief", "0")
	p.AwaitZero("brief")
	harness.Eventually(t, "the copy's connection ends", func() (bool, any) { return nc.IsClosed(), nc.Status() })
	denied := func(when string) {
		t.Helper()
		if again, err := nats.Connect(p.Server.NATS, nats.Token(token)); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: got %v, want ErrAuthorization", when, err)
			if err == nil {
				again.Close()
			}
		}
	}
	denied("once it is gone")
	p.Kill9()
	p.Start()
	denied("at the next platform")
}
