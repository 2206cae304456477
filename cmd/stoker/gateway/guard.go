package gateway

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// local refuses requests whose Host is not this machine's loopback: a page on the internet
// whose name is made to point to 127.0.0.1 would otherwise be of the same origin as we are.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopback(r.Host) {
			writeRefusal(w, refuse(http.StatusMisdirectedRequest, causeForbidden, "host "+r.Host+" is not served here",
				"use http://127.0.0.1 or http://localhost with the port"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func loopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
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

// authorized wants the bearer token. Both sides are hashed, so that neither content nor
// length shows in the time the comparison takes.
func (g *Gateway) authorized(next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(g.Token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(strings.TrimSpace(token)))
		if g.Token == "" || !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="stoker"`)
			writeRefusal(w, refuse(http.StatusUnauthorized, "unauthorized", "the control API wants the platform's token",
				"the CLI reads it from the data directory: use the same --data-dir, as the same user"))
			return
		}
		next.ServeHTTP(w, r)
	})
}
