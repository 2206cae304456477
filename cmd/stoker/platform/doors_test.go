package platform

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker/access"
	"stoker.dev/stoker/cmd/stoker/certtest"
	"stoker.dev/stoker/cmd/stoker/config"
	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/cmd/stoker/doorkeeper"
)

func TestACertificateIsRenewedInPlace(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certtest.Write(t, certFile, keyFile, "old.example.com", "192.0.2.1")
	c, err := openCertificate(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if c.name() != "old.example.com" || !c.names("old.example.com") || !c.names("192.0.2.1") || c.names("rebound.example.com") {
		t.Errorf("it is for %s", c.name())
	}
	later := time.Now().Add(time.Minute)
	change := func(do func()) {
		t.Helper()
		do()
		later = later.Add(time.Minute) // file systems tell times apart more coarsely than a test runs
		for _, path := range []string{certFile, keyFile} {
			if err := os.Chtimes(path, later, later); err != nil {
				t.Fatal(err)
			}
		}
	}
	change(func() { _ = os.WriteFile(certFile, []byte("half a file"), 0o600) })
	if c.name() != "old.example.com" {
		t.Error("a broken file is used")
	}
	change(func() { certtest.Write(t, certFile, keyFile, "new.example.com", "192.0.2.1") })
	if got, err := c.get(nil); err != nil || got.Leaf.DNSNames[0] != "new.example.com" || c.names("old.example.com") {
		t.Errorf("the new one is not used: %v", err)
	}
	certtest.Write(t, certFile, keyFile)
	if _, err := openCertificate(certFile, keyFile, c.log); err == nil || !strings.Contains(err.Error(), "alternative names") {
		t.Errorf("a certificate for nobody: %v", err)
	}
}

// TestDoorsOpenOnlyWithUsersAndACertificate, and nobody comes in without a token then.
func TestDoorsOpenOnlyWithUsersAndACertificate(t *testing.T) {
	dir, err := datadir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	certtest.Write(t, certFile, keyFile, "gpu.example.com", "192.0.2.1")
	open := func(c config.Config) (*Platform, error) {
		c.DataDir = dir.Path()
		p := &Platform{Options: Options{Config: c, Log: slog.New(slog.DiscardHandler)}, dir: dir}
		return p, p.openDoors(t.Context())
	}
	local := config.Config{Listen: "127.0.0.1:0", NATSListen: "127.0.0.1", Anonymous: true}
	p, err := open(local)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := p.keeper.ByToken(""); !ok {
		t.Error("on loopback nobody comes in without a token")
	}
	if l := p.brokerDoor(); l.TLS != nil || p.tls() != nil {
		t.Errorf("TLS without a certificate: %+v", l)
	}
	for what, c := range map[string]config.Config{
		"HTTP": {Listen: "0.0.0.0:0", NATSListen: "127.0.0.1", TLSCert: certFile, TLSKey: keyFile, Anonymous: true},
		"NATS": {Listen: "127.0.0.1:0", NATSListen: "0.0.0.0", TLSCert: certFile, TLSKey: keyFile, Anonymous: true},
	} {
		if err := os.RemoveAll(dir.Users()); err != nil {
			t.Fatal(err)
		}
		if _, err := open(c); err == nil || !strings.Contains(err.Error(), "stoker user add") {
			t.Errorf("%s without users: %v", what, err)
		}
		u := access.User{Name: "root", Role: access.Admin, Namespaces: []string{access.Everywhere}, Token: access.Hash("x")}
		if err := doorkeeper.Edit(dir.Users(), func(all access.Users) (access.Users, error) { return all.With(u) }); err != nil {
			t.Fatal(err)
		}
		p, err := open(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := p.keeper.ByToken(""); ok {
			t.Errorf("%s: off loopback somebody comes in without a token", what)
		}
		if got := p.baseURL(&net.TCPAddr{IP: net.IPv6zero, Port: 8443}); got != "https://127.0.0.1:8443" {
			t.Errorf("%s", got)
		}
		if l := p.brokerDoor(); (l.TLS != nil) != (what == "NATS") {
			t.Errorf("%s: the broker's door: %+v", what, l)
		}
	}
}
