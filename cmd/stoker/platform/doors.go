package platform

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"

	"stoker.dev/stoker/cmd/stoker/doorkeeper"
	"stoker.dev/stoker/cmd/stoker/embedded"
)

// openDoors finds out who may come in and by which certificate, and refuses to open to other
// machines without both. Off loopback nobody comes in without credentials.
func (p *Platform) openDoors(context.Context) error {
	keys, err := p.dir.Keys()
	if err != nil {
		return err
	}
	c := p.Config
	if c.TLSCert != "" {
		if p.cert, err = openCertificate(c.TLSCert, c.TLSKey, p.Log); err != nil {
			return err
		}
	}
	open := c.Public()
	p.keeper, err = doorkeeper.Open(doorkeeper.Options{
		Token: keys.Admin, Users: c.UsersFile(), Anonymous: c.Anonymous && len(open) == 0, Log: p.Log.With("part", "doors"),
	})
	if err != nil {
		return err
	}
	if len(open) > 0 && p.keeper.Users() == 0 {
		return fmt.Errorf("%s: other machines can reach it, and there are no users in %s: make one with `stoker user add NAME --role admin`, or listen on 127.0.0.1",
			strings.Join(open, ", "), c.UsersFile())
	}
	return nil
}

// keepDoors lets go whoever lost their rights, until the platform stops.
func (p *Platform) keepDoors(ctx context.Context) error {
	p.background(ctx, func(ctx context.Context) {
		p.keeper.Run(ctx, func(names []string) {
			p.Log.Info("users changed, their connections end", "users", strings.Join(names, ", "))
			p.servers.DisconnectUsers(names)
			if g := p.callers.Load(); g != nil {
				g.DisconnectUsers(names)
			}
		})
	})
	return nil
}

// background runs f until the platform stops.
func (p *Platform) background(ctx context.Context, f func(context.Context)) {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() { defer close(done); f(inner) }()
	p.onClose(func(context.Context) error { cancel(); <-done; return nil })
}

// tls is how the HTTP port and the broker speak; nil is plain text.
func (p *Platform) tls() *tls.Config {
	if p.cert == nil {
		return nil
	}
	return &tls.Config{GetCertificate: p.cert.get, MinVersion: tls.VersionTLS12}
}

// brokerDoor is where the embedded broker listens. On loopback it speaks plain text, also where
// the HTTP port does not: only this machine reaches it.
func (p *Platform) brokerDoor() embedded.Listen {
	if ip := net.ParseIP(p.Config.NATSListen); ip == nil || ip.IsLoopback() {
		return embedded.Listen{Host: p.Config.NATSListen}
	}
	return embedded.Listen{Host: p.Config.NATSListen, TLS: p.tls(), CertFile: p.Config.TLSCert, Name: p.cert.name()}
}

// host tells whether a name is one of the platform's.
func (p *Platform) host(name string) bool { return p.cert != nil && p.cert.names(name) }

// baseURL is how this machine reaches the HTTP port.
func (p *Platform) baseURL(addr net.Addr) string {
	scheme := "http"
	if p.cert != nil {
		scheme = "https"
	}
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		addr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: tcp.Port}
	}
	return scheme + "://" + addr.String()
}
