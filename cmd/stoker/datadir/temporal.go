package datadir

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
)

// TemporalName is what the certificate of the embedded Temporal is for, whatever address it
// listens on.
const TemporalName = "temporal.stoker.internal"

// TemporalKeys are the files of the embedded Temporal's certificates, in PEM: the authority that
// both sides trust, what clients show, and what the server shows.
type TemporalKeys struct{ CA, Cert, Key, ServerCert, ServerKey string }

// TemporalKeysOf are the paths in the directory at path, which need not be open. The platform
// makes the files at its first start.
func TemporalKeysOf(path string) TemporalKeys {
	in := func(name string) string { return filepath.Join(path, "keys", name) }
	return TemporalKeys{
		CA: in("temporal-ca.pem"), Cert: in("temporal-cert.pem"), Key: in("temporal-key.pem"),
		ServerCert: in("temporal-server-cert.pem"), ServerKey: in("temporal-server-key.pem"),
	}
}

// WriteFile writes one of the files, with the directory it is in, as a whole or not at all.
func (k TemporalKeys) WriteFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return notWritable(path, err)
	}
	return writeFile(path, data)
}

// Config is how a client reaches the embedded Temporal.
func (k TemporalKeys) Config() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(k.Cert, k.Key)
	if err != nil {
		return nil, fmt.Errorf("credentials of Temporal: %w", err)
	}
	ca, err := os.ReadFile(k.CA)
	if err != nil {
		return nil, fmt.Errorf("credentials of Temporal: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%w: no certificate in %s; delete it and restart the platform to make it anew", ErrDamaged, k.CA)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, ServerName: TemporalName, MinVersion: tls.VersionTLS13}, nil
}
