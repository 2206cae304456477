package platform

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is a pair of files, read again when they change: certificates are renewed more
// often than platforms are restarted.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu   sync.Mutex
	at   [2]time.Time // when the files in force were written
	pair *tls.Certificate
}

// openCertificate reads a pair that must be good and have a name.
func openCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	if err := c.read(c.stamps()); err != nil {
		return nil, err
	}
	if c.name() == "" {
		return nil, fmt.Errorf("--tls-cert %s: its certificate is for no name and no address: want one with subject alternative names", certFile)
	}
	return c, nil
}

func (c *certificate) stamps() (at [2]time.Time) {
	for i, path := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(path); err == nil {
			at[i] = info.ModTime()
		}
	}
	return at
}

func (c *certificate) read(at [2]time.Time) error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("--tls-cert %s, --tls-key %s: %w", c.certFile, c.keyFile, err)
	}
	c.pair, c.at = &pair, at
	return nil
}

// current is the newest good pair.
func (c *certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.stamps(); at != c.at {
		if err := c.read(at); err != nil {
			c.log.Error("the new certificate is not used", "error", err)
			c.at = at // said once; the files change again when they are whole
		}
	}
	return c.pair
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(), nil }

// names tells whether the certificate is for a name or address.
func (c *certificate) names(host string) bool { return c.current().Leaf.VerifyHostname(host) == nil }

// name is one that the certificate is for.
func (c *certificate) name() string {
	switch leaf := c.current().Leaf; {
	case len(leaf.DNSNames) > 0:
		return leaf.DNSNames[0]
	case len(leaf.IPAddresses) > 0:
		return leaf.IPAddresses[0].String()
	}
	return ""
}
