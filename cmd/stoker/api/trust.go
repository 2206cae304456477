package api

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
)

// Trust is an HTTP client that trusts a platform's own certificate, beside this machine's
// authorities, and wants it to be for a name, or, with "", for the host it connects to. Without a
// file it is nil, which is the usual client.
func Trust(certFile, name string) (*http.Client, error) {
	if certFile == "" {
		return nil, nil
	}
	data, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("certificate of the platform: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // this machine has no authorities
	}
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("certificate of the platform: %s holds none in PEM", certFile)
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: pool, ServerName: name, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: t}, nil
}
