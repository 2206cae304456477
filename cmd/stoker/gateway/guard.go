package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// named refuses requests whose Host is neither this machine's loopback nor a name of the platform's
// certificate: a page on the internet whose name is made to point to this machine would otherwise
// be of the same origin as we are.
func (g *Gateway) named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopback(r.Host) && !g.Host(hostname(r.Host)) {
			writeRefusal(w, refuse(http.StatusMisdirectedRequest, causeForbidden, "host "+clip(r.Host)+" is not served here",
				"use 127.0.0.1 or localhost with the port, or a name in the platform's certificate"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostname is a Host without its port.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

func loopback(host string) bool {
	host = hostname(host)
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// sameOrigin refuses what a page of another origin makes a browser send.
func sameOrigin(next http.Handler) http.Handler {
	p := http.NewCrossOriginProtection()
	p.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeRefusal(w, refuse(http.StatusForbidden, causeForbidden, "a page of another origin may not do this", "call it from a program, or from a page served here"))
	}))
	return p.Handler(next)
}
