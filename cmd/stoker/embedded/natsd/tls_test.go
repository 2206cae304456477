package natsd

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"stoker.dev/stoker/cmd/stoker/certtest"
	"stoker.dev/stoker/cmd/stoker/embedded/token"
	"stoker.dev/stoker/events"
)

// TestOffLoopbackEverybodySpeaksTLS: clients, agents, and nobody in the clear.
func TestOffLoopbackEverybodySpeaksTLS(t *testing.T) {
	const name = "gpu.example.com"
	pair := certtest.New(t, name)
	file := pair.CertFile
	o := testOptions(t, t.TempDir())
	o.Host, o.TLS = "0.0.0.0", &tls.Config{Certificates: []tls.Certificate{pair.Certificate}, MinVersion: tls.VersionTLS12}
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, s)
	if !s.ns.Addr().(*net.TCPAddr).IP.IsUnspecified() || !strings.HasPrefix(s.URL(), "tls://127.0.0.1:") {
		t.Errorf("listens on %v, is found at %s", s.ns.Addr(), s.URL())
	}
	platform, err := s.Connect() // in process, where nobody listens in
	if err != nil {
		t.Fatal(err)
	}
	platform.Close()
	tok := token.Mint(testKey, token.Claims{Key: keyA, Replica: "a-1", Stream: events.ShardStream(0)}, time.Now())
	agent, err := events.Connect(events.NATSAccess{URL: s.URL(), Token: tok, CA: file, ServerName: name}, events.ConnectOptions{Once: true})
	if err != nil {
		t.Fatal(err)
	}
	agent.Close()
	stranger := certtest.New(t, name).CertFile
	for what, access := range map[string]events.NATSAccess{
		"an agent that trusts another certificate": {URL: s.URL(), Token: tok, CA: stranger, ServerName: name},
		"an agent that wants another name":         {URL: s.URL(), Token: tok, CA: file, ServerName: "other.example.com"},
	} {
		if b, err := events.Connect(access, events.ConnectOptions{Once: true}); err == nil {
			b.Close()
			t.Errorf("%s is connected", what)
		}
	}
	// A client that does not want TLS sends its token in the clear, or hangs up: it hangs up.
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "tls://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte("CONNECT {\"verbose\":true,\"auth_token\":\"" + testAdmin + "\"}\r\nPING\r\n")); err != nil {
		t.Fatal(err)
	}
	if got := readAll(conn); !strings.HasPrefix(got, "INFO ") || strings.Contains(got, "+OK") || strings.Contains(got, "PONG") {
		t.Errorf("in the clear the broker says %q", got)
	}
}

func readAll(conn net.Conn) string {
	var out strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		out.Write(buf[:n])
		if err != nil {
			return out.String()
		}
	}
}

// TestRawProtocol: what no client library would send.
func TestRawProtocol(t *testing.T) {
	w := newWorld(t)
	heard, err := w.js.Conn().SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"a subject that ends in the middle":  "PUB stoker.fn.default.a.standard\rstoker.ctl.default.a.a-1 1\r\nx\r\n",
		"a reply that ends in the middle":    "PUB stoker.fn.default.a.standard _INBOX.x\nPUB stoker.ctl.default.a.a-1 1\r\nx\r\n",
		"a wildcard to publish to":           "PUB stoker.*.default.a.standard 1\r\nx\r\n",
		"everything to publish to":           "PUB stoker.> 1\r\nx\r\n",
		"an account of another":              "CONNECT {\"account\":\"$SYS\",\"new_account\":true}\r\nPUB $SYS.REQ.SERVER.PING 1\r\nx\r\n",
		"a second CONNECT with other claims": "CONNECT {\"auth_token\":\"" + testAdmin + "x\"}\r\nPUB stoker.ctl.default.a.a-1 1\r\nx\r\n",
		"a headers line that never ends":     "HPUB stoker.fn.default.a.standard 20 21\r\nNATS/1.0\r\nce-id: xxxx\r\n",
		"a line above the limit":             "PUB stoker.fn.default.a." + strings.Repeat("x", 8192) + " 1\r\nx\r\n",
		"a payload above the limit":          "PUB stoker.fn.default.a.standard 999999999\r\nx",
		"a negative size":                    "PUB stoker.fn.default.a.standard -1\r\nx\r\n",
		"an agent's way to speak as a route": "RS+ $G stoker.ctl.default.a.a-1\r\n",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.s.URL(), "nats://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := conn.Write([]byte("CONNECT {\"headers\":true}\r\n" + text + "PING\r\n")); err != nil {
			t.Fatal(err)
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
		said := readAll(conn)
		conn.Close()
		t.Logf("%s: %.160q", what, said[strings.Index(said, "\r\n")+2:])
	}
	if _, err := w.connect(t).js.Publish(testContext(t), events.RequestSubject(keyA, class), []byte("last")); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := heard.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Data) == "last" {
			return
		}
		if strings.HasPrefix(m.Subject, "$JS.EVENT.ADVISORY.") && strings.Contains(string(m.Data), `"user":"platform"`) {
			continue // the broker tells, when it finds the time, what we set up ourselves
		}
		// A request under one of its own names is what a stranger may send; nothing else came through.
		if m.Subject != events.RequestSubject(keyA, class) && !strings.HasPrefix(m.Subject, "_R_.") {
			t.Errorf("the platform heard %q on %s", m.Data, m.Subject)
		}
	}
}

// TestPayloadLimit: one byte more than the broker takes.
func TestPayloadLimit(t *testing.T) {
	w := newWorld(t)
	p := w.connect(t)
	if got := p.nc.MaxPayload(); got != maxPayload {
		t.Fatalf("%d bytes", got)
	}
	if err := p.nc.Publish(events.RequestSubject(keyA, class), make([]byte, maxPayload+1)); !errors.Is(err, nats.ErrMaxPayload) {
		t.Errorf("the library: %v", err)
	}
}
