package embedded

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/cmd/stoker/embedded/token"
	"stoker.dev/stoker/cmd/stoker/embedded/ui"
)

// elsewhere is a platform that stands for servers elsewhere, to whose Temporal the usual variables
// lead.
func elsewhere(t *testing.T) (*Platform, string) {
	t.Helper()
	d := openDir(t)
	p := start(t, testOptions(t, d))
	keys := datadir.TemporalKeysOf(d.Path())
	t.Setenv("TEMPORAL_CONFIG_FILE", filepath.Join(t.TempDir(), "none.toml"))
	t.Setenv("TEMPORAL_TLS_SERVER_CA_CERT_PATH", keys.CA)
	t.Setenv("TEMPORAL_TLS_CLIENT_CERT_PATH", keys.Cert)
	t.Setenv("TEMPORAL_TLS_CLIENT_KEY_PATH", keys.Key)
	t.Setenv("TEMPORAL_TLS_SERVER_NAME", datadir.TemporalName)
	t.Cleanup(func() { stop(t, p) })
	u, err := url.Parse(p.NATSURL())
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(p.Keys().Admin)
	return p, u.String()
}

func TestExternalServers(t *testing.T) {
	other, natsURL := elsewhere(t)
	o := testOptions(t, openDir(t))
	o.NATS.URL, o.TemporalAddress = natsURL, other.TemporalAddress()
	p := start(t, o)
	defer stop(t, p)

	nc, js := connect(t, p)
	defer nc.Close()
	if _, err := js.AccountInfo(t.Context()); err != nil {
		t.Error(err)
	}
	checkAttributes(t, p.TemporalClient(), attributes)
	if err := p.Healthy(t.Context()); err != nil {
		t.Error(err)
	}
	if p.Failed() != nil {
		t.Error("an external server cannot fail this process")
	}
	admin := other.Keys().Admin
	if s := p.Server("http://h", "v"); strings.Contains(s.NATS, admin) || s.Temporal != other.TemporalAddress() {
		t.Errorf("addresses: %+v", s)
	}
	if a := p.AgentAccess(token.Claims{}); a.URL != natsURL || a.Token != "" {
		t.Errorf("agent access: %+v", a)
	}
	checkUI(t, p, http.StatusOK)
}

func checkUI(t *testing.T, p *Platform, want int) string {
	t.Helper()
	srv := httptest.NewServer(p.UI())
	defer srv.Close()
	return get(t, srv.URL+ui.Path+"/api/v1/namespaces", want)
}

func TestUnreachableServersAreOneLine(t *testing.T) {
	other, natsURL := elsewhere(t)
	wrong := strings.Replace(natsURL, other.Keys().Admin, "wrong-password", 1)
	for name, tc := range map[string]struct {
		edit func(*Options)
		want string
	}{
		"NATS not there":     {func(o *Options) { o.NATS.URL = "nats://127.0.0.1:1" }, "127.0.0.1:1"},
		"NATS refuses":       {func(o *Options) { o.NATS.URL = wrong }, "Authorization"},
		"Temporal not there": {func(o *Options) { o.NATS.URL, o.TemporalAddress = natsURL, "127.0.0.1:1" }, "127.0.0.1:1"},
		"two credentials":    {func(o *Options) { o.NATS = NATSOptions{URL: natsURL, Creds: "a", NKey: "b"} }, "one of them"},
		"half a certificate": {func(o *Options) { o.NATS = NATSOptions{URL: natsURL, Cert: "a"} }, "both or none"},
		"nkey for agents":    {func(o *Options) { o.NATS = NATSOptions{URL: natsURL, NKey: "a"} }, "agents"},
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(t, openDir(t))
			o.TemporalAddress = other.TemporalAddress()
			tc.edit(&o)
			_, err := Start(t.Context(), o)
			if !errors.Is(err, ErrExternal) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "wrong-password") {
				t.Fatalf("got %v, want ErrExternal with %q and no password", err, tc.want)
			}
			wantOneLine(t, err)
		})
	}
	t.Run("namespace missing", func(t *testing.T) {
		t.Setenv("TEMPORAL_NAMESPACE", "nowhere")
		o := testOptions(t, openDir(t))
		o.NATS.URL, o.TemporalAddress = natsURL, other.TemporalAddress()
		if _, err := Start(t.Context(), o); !errors.Is(err, ErrExternal) || !strings.Contains(err.Error(), "namespace create --namespace nowhere") {
			t.Fatalf("got %v, want the command that makes the namespace", err)
		}
	})
}

func TestBrokerWithoutJetStreamIsRefused(t *testing.T) {
	url := plainNATS(t, &natsserver.Options{})
	o := testOptions(t, openDir(t))
	o.NATS.URL = url
	if _, err := Start(t.Context(), o); !errors.Is(err, ErrExternal) || !strings.Contains(err.Error(), "JetStream") {
		t.Fatalf("got %v, want ErrExternal about JetStream", err)
	}
}

// plainNATS is a broker as operators run it.
func plainNATS(t *testing.T, o *natsserver.Options) string {
	t.Helper()
	o.Host, o.Port, o.NoSigs, o.NoLog = "127.0.0.1", -1, true, true
	s, err := natsserver.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("broker not ready")
	}
	return s.ClientURL()
}

func TestBrokerWithMutualTLSAndNKey(t *testing.T) {
	pki := newPKI(t)
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := user.PublicKey()
	seed, _ := user.Seed()
	seedFile := filepath.Join(t.TempDir(), "user.nk")
	if err := os.WriteFile(seedFile, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	natsURL := plainNATS(t, &natsserver.Options{
		JetStream: true, StoreDir: t.TempDir(), Nkeys: []*natsserver.NkeyUser{{Nkey: public}}, TLS: true, TLSTimeout: patience.Seconds(),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pki.cert}, ClientCAs: pki.pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12},
	})
	full := NATSOptions{URL: natsURL, NKey: seedFile, AgentCreds: "agents.creds", CA: pki.caFile, Cert: pki.certFile, Key: pki.keyFile}
	p := &Platform{log: slog.New(slog.DiscardHandler), nats: full}
	if err := p.checkNATS(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := p.AgentAccess(token.Claims{})
	if a.Creds != "agents.creds" || a.CA != pki.caFile || a.Cert != pki.certFile || a.KeyFile != pki.keyFile {
		t.Errorf("agent access: %+v", a)
	}
	for name, edit := range map[string]func(*NATSOptions){
		"without CA":          func(o *NATSOptions) { o.CA = "" },
		"without certificate": func(o *NATSOptions) { o.Cert, o.Key = "", "" },
		"without nkey":        func(o *NATSOptions) { o.NKey = "" },
	} {
		t.Run(name, func(t *testing.T) {
			less := full
			edit(&less)
			if err := (&Platform{log: p.log, nats: less}).checkNATS(t.Context()); !errors.Is(err, ErrExternal) {
				t.Errorf("got %v, want ErrExternal", err)
			}
		})
	}
}

// The same TLS settings that `temporal` and every SDK take reach client and UI; with an API
// key the UI stays away.
func TestTemporalWithTLS(t *testing.T) {
	other, natsURL := elsewhere(t)
	pki := newPKI(t)
	address := terminateTLS(t, pki, other)
	o := testOptions(t, openDir(t))
	o.NATS.URL, o.TemporalAddress = natsURL, address
	for name, value := range map[string]string{"SERVER_CA_CERT_PATH": pki.caFile, "CLIENT_CERT_PATH": "", "CLIENT_KEY_PATH": "", "SERVER_NAME": ""} {
		t.Setenv("TEMPORAL_TLS_"+name, value)
	}
	t.Run("CA", func(t *testing.T) {
		p := start(t, o)
		defer stop(t, p)
		checkUI(t, p, http.StatusOK)
	})
	t.Run("API key", func(t *testing.T) {
		t.Setenv("TEMPORAL_API_KEY", "key")
		p := start(t, o)
		defer stop(t, p)
		if body := checkUI(t, p, http.StatusNotFound); !strings.Contains(body, "API key") {
			t.Errorf("got %q, want the reason", body)
		}
	})
	t.Run("unknown CA", func(t *testing.T) {
		t.Setenv("TEMPORAL_TLS_SERVER_CA_CERT_PATH", newPKI(t).caFile)
		if _, err := Start(t.Context(), o); !errors.Is(err, ErrExternal) {
			t.Errorf("got %v, want ErrExternal", err)
		}
	})
}

// terminateTLS is a TLS listener with a certificate of its own, in front of a platform's Temporal.
func terminateTLS(t *testing.T, pki pki, p *Platform) string {
	t.Helper()
	inner, err := p.temporald.Credentials().Config()
	if err != nil {
		t.Fatal(err)
	}
	inner.NextProtos = []string{"h2"}
	conf := &tls.Config{Certificates: []tls.Certificate{pki.cert}, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}
	l, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			front, err := l.Accept()
			if err != nil {
				return // closed by the cleanup
			}
			go splice(front, p.TemporalAddress(), inner)
		}
	}()
	return l.Addr().String()
}

func splice(front net.Conn, backend string, conf *tls.Config) {
	defer front.Close()
	back, err := tls.Dial("tcp", backend, conf)
	if err != nil {
		return
	}
	defer back.Close()
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{front, back}, {back, front}} {
		go func() { _, _ = io.Copy(pair[0], pair[1]); done <- struct{}{} }()
	}
	<-done // either side ended; the deferred closes end the other
}

// pki is a CA and one certificate for 127.0.0.1, for servers and clients.
type pki struct {
	pool                      *x509.CertPool
	cert                      tls.Certificate
	caFile, certFile, keyFile string
}

func newPKI(t *testing.T) pki {
	t.Helper()
	dir := t.TempDir()
	p := pki{pool: x509.NewCertPool(), caFile: filepath.Join(dir, "ca.pem"), certFile: filepath.Join(dir, "cert.pem"), keyFile: filepath.Join(dir, "key.pem")}
	caKey, key := newKey(t), newKey(t)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	writePEM(t, p.caFile, "CERTIFICATE", sign(t, ca, ca, caKey, caKey))
	writePEM(t, p.certFile, "CERTIFICATE", sign(t, leaf, ca, key, caKey))
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, p.keyFile, "PRIVATE KEY", der)
	if p.cert, err = tls.LoadX509KeyPair(p.certFile, p.keyFile); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(p.caFile)
	if err != nil || !p.pool.AppendCertsFromPEM(text) {
		t.Fatalf("CA: %v", err)
	}
	return p
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, cert, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
