package temporald

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"time"

	"go.temporal.io/server/common/rpc/encryption"

	"stoker.dev/stoker/cmd/stoker/datadir"
)

// Temporal has four ports, and each of them changes state for whoever speaks gRPC to it. So each
// speaks TLS and wants a certificate of its clients. The certificates are made at the first start and
// kept, so that a client which outlives a restart finds the server again.

// certLife is longer than any data directory of one version.
const certLife = 10 * 365 * 24 * time.Hour

// Credentials are what a client of the server shows and trusts, in PEM.
type Credentials struct {
	CA, Cert, Key []byte
}

// Config is that of a client.
func (c Credentials) Config() (*tls.Config, error) {
	pair, err := tls.X509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(c.CA) {
		return nil, fmt.Errorf("no certificate in %q", c.CA)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, ServerName: datadir.TemporalName, MinVersion: tls.VersionTLS13}, nil
}

// identity is one set of credentials of clients and servers, in the form Temporal asks for them.
type identity struct {
	clients Credentials
	client  *tls.Config
	server  *tls.Config
}

var _ encryption.TLSConfigProvider = (*identity)(nil)

// openIdentity reads the certificates, or makes them where one is missing or does not fit.
func openIdentity(k datadir.TemporalKeys, now time.Time) (*identity, error) {
	if id, err := readIdentity(k); err == nil {
		return id, nil
	}
	id, server, err := newIdentity(now)
	if err != nil {
		return nil, fmt.Errorf("certificates of Temporal: %w", err)
	}
	for path, data := range map[string][]byte{
		k.CA: id.clients.CA, k.Cert: id.clients.Cert, k.Key: id.clients.Key, k.ServerCert: server.Cert, k.ServerKey: server.Key,
	} {
		if err := k.WriteFile(path, data); err != nil {
			return nil, err
		}
	}
	return id, nil
}

func readIdentity(k datadir.TemporalKeys) (*identity, error) {
	var text [5][]byte
	for i, path := range []string{k.CA, k.Cert, k.Key, k.ServerCert, k.ServerKey} {
		var err error
		if text[i], err = os.ReadFile(path); err != nil {
			return nil, err
		}
	}
	return assemble(Credentials{CA: text[0], Cert: text[1], Key: text[2]}, Credentials{CA: text[0], Cert: text[3], Key: text[4]})
}

// assemble checks that client and server would take each other.
func assemble(clients, server Credentials) (id *identity, err error) {
	id = &identity{clients: clients}
	if id.client, err = clients.Config(); err != nil {
		return nil, err
	}
	if id.server, err = server.Config(); err != nil {
		return nil, err
	}
	for _, c := range []*tls.Config{id.client, id.server} {
		_, err := c.Certificates[0].Leaf.Verify(x509.VerifyOptions{Roots: c.RootCAs, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if err != nil {
			return nil, err
		}
	}
	id.server.ClientCAs, id.server.ClientAuth = id.server.RootCAs, tls.RequireAndVerifyClientCert
	return id, nil
}

// newIdentity makes an authority, a certificate for the services and one for their clients, and
// forgets the authority's key.
func newIdentity(now time.Time) (*identity, Credentials, error) {
	a, err := newAuthority(now)
	if err != nil {
		return nil, Credentials{}, err
	}
	server, err := a.issue(x509.ExtKeyUsageServerAuth)
	if err != nil {
		return nil, Credentials{}, err
	}
	clients, err := a.issue(x509.ExtKeyUsageClientAuth)
	if err != nil {
		return nil, Credentials{}, err
	}
	id, err := assemble(clients, server)
	return id, server, err
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	// Clocks go back; the hour keeps the certificate good then.
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stoker, Temporal"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert, key, block("CERTIFICATE", der)}, err
}

// issue makes a certificate for one use, with its key.
func (a *authority) issue(use x509.ExtKeyUsage) (Credentials, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Credentials{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return Credentials{}, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: datadir.TemporalName}, DNSNames: []string{datadir.TemporalName},
		NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{use},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return Credentials{}, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	return Credentials{CA: a.pem, Cert: block("CERTIFICATE", der), Key: block("PRIVATE KEY", private)}, err
}

func block(kind string, der []byte) []byte {
	var b bytes.Buffer
	_ = pem.Encode(&b, &pem.Block{Type: kind, Bytes: der}) // into memory: cannot fail
	return b.Bytes()
}

// GetInternodeServerConfig is for history, matching and worker.
func (i *identity) GetInternodeServerConfig() (*tls.Config, error) { return i.server.Clone(), nil }

// GetInternodeClientConfig is how the services reach one another.
func (i *identity) GetInternodeClientConfig() (*tls.Config, error) { return i.client.Clone(), nil }

// GetFrontendServerConfig is for the frontend.
func (i *identity) GetFrontendServerConfig() (*tls.Config, error) { return i.server.Clone(), nil }

// GetFrontendClientConfig is how the worker service reaches the frontend.
func (i *identity) GetFrontendClientConfig() (*tls.Config, error) { return i.client.Clone(), nil }

// GetRemoteClusterClientConfig is asked for the one cluster there is.
func (i *identity) GetRemoteClusterClientConfig(string) (*tls.Config, error) {
	return i.client.Clone(), nil
}

// GetExpiringCerts names none, see certLife.
func (i *identity) GetExpiringCerts(time.Duration) (expiring, expired encryption.CertExpirationMap, err error) {
	return nil, nil, nil
}
