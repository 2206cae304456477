package config

import (
	"errors"
	"fmt"
	"net"
	"strings"
)

// doors checks where the platform listens, and that it has a certificate where others can come.
// That there are users is checked by whoever reads their file.
func (c Config) doors() error {
	var errs []error
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, wrong("listen", c.Listen, "HOST:PORT, such as 127.0.0.1:8080"))
	}
	if net.ParseIP(c.NATSListen) == nil {
		errs = append(errs, wrong("nats-listen", c.NATSListen, "an IP address, such as 127.0.0.1, or 0.0.0.0 for all of this machine's"))
	}
	if c.NATSURL != "" && !loopback(c.NATSListen) {
		errs = append(errs, wrong("nats-listen", c.NATSListen, "only without --nats-url: a server elsewhere listens where it was told to"))
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		errs = append(errs, fmt.Errorf("--tls-cert and --tls-key: give both or neither; a server wants a certificate with its key"))
	}
	if open := c.Public(); len(open) > 0 && c.TLSCert == "" {
		errs = append(errs, fmt.Errorf("%s: other machines can reach it, so it wants TLS: give --tls-cert and --tls-key, or listen on 127.0.0.1 and use a tunnel", strings.Join(open, ", ")))
	}
	return errors.Join(errs...)
}

// Public names the settings by which other machines reach the platform; none: it is on loopback
// alone.
func (c Config) Public() []string {
	var open []string
	if host, _, err := net.SplitHostPort(c.Listen); err == nil && !loopback(host) {
		open = append(open, "--listen "+c.Listen)
	}
	if !loopback(c.NATSListen) {
		open = append(open, "--nats-listen "+c.NATSListen)
	}
	return open
}

// loopback tells whether only this machine reaches a host. Names are not looked up: what they
// mean may change.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
