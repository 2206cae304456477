// Package certtest makes certificates for tests: each is its own authority and good for an hour.
package certtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// life is longer than any test.
const life = time.Hour

// Pair is a certificate with its key, and the PEM files that hold them.
type Pair struct {
	tls.Certificate
	CertFile, KeyFile string
}

// New makes a pair for hosts, which are DNS names or IP addresses, in a directory of the test.
func New(t testing.TB, hosts ...string) Pair {
	t.Helper()
	dir := t.TempDir()
	return Write(t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), hosts...)
}

// Write makes a pair for hosts in the given files, over what is there.
func Write(t testing.TB, certFile, keyFile string, hosts ...string) Pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(life)}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			cert.IPAddresses = append(cert.IPAddresses, ip)
		} else {
			cert.DNSNames = append(cert.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		must(t, os.WriteFile(path, pem.EncodeToMemory(block), 0o600))
	}
	return Pair{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, certFile, keyFile}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
