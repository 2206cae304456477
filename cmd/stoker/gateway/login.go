package gateway

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"strings"
	"sync"
	"time"

	"stoker.dev/stoker/cmd/stoker/access"
	"stoker.dev/stoker/cmd/stoker/api"
)

// A browser cannot send a bearer token by itself. It comes in by a link that works once:
//
//	stoker ui ──token──► POST /api/v1/logins ──► link with a code, good for a minute, once
//	browser ──► GET /login?code=… ──► cookie, good for some hours ──► /temporal/
//
// The cookie stays out of reach of scripts and of requests that other pages cause. Codes and
// sessions are in memory alone: a platform that starts again knows none of them.
const (
	loginPath     = "/login"
	sessionCookie = "stoker_session"
	codeLife      = time.Minute
	sessionLife   = 12 * time.Hour
	// maxLogins bounds codes and sessions: each is made by an administrator.
	maxLogins = 1000
)

// logins are the codes and sessions in force. A secret is kept as its hash, which is looked up
// without comparing secrets.
type logins struct {
	now func() time.Time

	mu       sync.Mutex
	codes    map[[sha256.Size]byte]login
	sessions map[[sha256.Size]byte]login
}

// login is whose it is. The token is asked for again at each use, so that a session ends with
// its user.
type login struct {
	token   string
	expires time.Time
}

func newLogins(now func() time.Time) *logins {
	return &logins{now: now, codes: map[[sha256.Size]byte]login{}, sessions: map[[sha256.Size]byte]login{}}
}

// add keeps a login and returns its new secret.
func (l *logins) add(to map[[sha256.Size]byte]login, token string, life time.Duration) string {
	secret := rand.Text()
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for k, v := range to {
		if !now.Before(v.expires) || len(to) >= maxLogins {
			delete(to, k)
		}
	}
	to[sha256.Sum256([]byte(secret))] = login{token, now.Add(life)}
	return secret
}

// code makes a code that [logins.redeem] takes once.
func (l *logins) code(token string) string { return l.add(l.codes, token, codeLife) }

// redeem makes a session of a code.
func (l *logins) redeem(code string) (session string, ok bool) {
	sum := sha256.Sum256([]byte(code))
	l.mu.Lock()
	found, ok := l.codes[sum]
	delete(l.codes, sum)
	l.mu.Unlock()
	if !ok || !l.now().Before(found.expires) {
		return "", false
	}
	return l.add(l.sessions, found.token, sessionLife), true
}

// token is that of whoever began a session; "" is none.
func (l *logins) token(session string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	found, ok := l.sessions[sha256.Sum256([]byte(session))]
	if !ok || !l.now().Before(found.expires) {
		return ""
	}
	return found.token
}

// newLogin is POST /api/v1/logins.
func (g *Gateway) newLogin(w http.ResponseWriter, r *http.Request) {
	token, _ := bearer(r)
	g.write(w, r, api.Login{Path: loginPath + "?code=" + g.logins.code(token), Seconds: int(codeLife.Seconds())}, nil)
}

// login is GET /login: it turns a code into a cookie.
func (g *Gateway) login(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	session, ok := g.logins.redeem(r.URL.Query().Get("code"))
	if !ok {
		writeText(w, http.StatusUnauthorized, "This link has been used, or is older than a minute. `stoker ui` makes another one.\n")
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: session, Path: "/temporal", MaxAge: int(sessionLife.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: g.Secure,
	})
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'")
	_, _ = w.Write([]byte(enter))
}

// enter leads on from a page of ours: after a redirect, a browser that came by a link on another
// site's page would not send the cookie.
const enter = `<!doctype html><meta http-equiv="refresh" content="0; url=/temporal/"><title>stoker</title><a href="/temporal/">Temporal</a>`

// administered lets administrators in, by bearer token or session. Neither goes on to what is
// behind: Temporal has credentials of its own.
func (g *Gateway) administered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := principal(r.Context())
		if c, err := r.Cookie(sessionCookie); err == nil && r.Header.Get("Authorization") == "" {
			if token := g.logins.token(c.Value); token != "" {
				p, _ = g.Keeper.ByToken(token)
			}
		}
		if err := p.Check(access.Administer, ""); err != nil {
			if !p.Named() && strings.Contains(r.Header.Get("Accept"), "text/html") {
				w.Header().Set("WWW-Authenticate", `Bearer realm="stoker"`)
				writeText(w, http.StatusUnauthorized, "Temporal's UI is for administrators of this platform. `stoker ui` makes a link that lets this browser in.\n")
				return
			}
			deny(w, err)
			return
		}
		next.ServeHTTP(w, anonymized(r, p))
	})
}

// anonymized is a request without its credentials.
func anonymized(r *http.Request, p access.Principal) *http.Request {
	r = r.Clone(context.WithValue(r.Context(), principalKey{}, p))
	r.Header.Del("Authorization")
	r.Header.Del("Authorization-Extras")
	cookies := r.Cookies()
	r.Header.Del("Cookie")
	for _, c := range cookies {
		if c.Name != sessionCookie {
			r.AddCookie(c)
		}
	}
	return r
}
