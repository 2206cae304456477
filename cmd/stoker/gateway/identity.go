package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"stoker.dev/stoker/cmd/stoker/access"
)

// Keeper knows who a bearer token belongs to; "" is nobody's. See package doorkeeper.
type Keeper interface {
	ByToken(token string) (access.Principal, bool)
}

type principalKey struct{}

// principal is who a request comes from. One that passed no [Gateway.identified] may do nothing.
func principal(ctx context.Context) access.Principal {
	p, _ := ctx.Value(principalKey{}).(access.Principal)
	return p
}

// identified finds out who a request comes from. A token that nobody has is refused everywhere,
// also where none is needed, so that a mistake shows.
func (g *Gateway) identified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := bearer(r)
		p, known := g.Keeper.ByToken(token)
		switch {
		case !ok:
			unauthorized(w, "the Authorization header is no bearer token", "send: Authorization: Bearer TOKEN")
		case !known && token != "":
			unauthorized(w, "nobody here has this token", tokenHint)
		case !known:
			next.ServeHTTP(w, r) // the zero principal: probes alone answer it
		default:
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), principalKey{}, p)))
		}
	})
}

const tokenHint = "the CLI finds the platform's token in the data directory: use the same --data-dir, as the same user, or give a token by --token or STOKER_TOKEN"

func unauthorized(w http.ResponseWriter, message, hint string) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="stoker"`)
	writeRefusal(w, refuse(http.StatusUnauthorized, causeUnauthorized, message, hint))
}

// bearer is the token of a request. The second value is false for another kind of credentials.
func bearer(r *http.Request) (string, bool) {
	header := r.Header.Values("Authorization")
	if len(header) == 0 {
		return "", true
	}
	scheme, token, _ := strings.Cut(header[0], " ")
	token = strings.TrimSpace(token)
	return token, len(header) == 1 && strings.EqualFold(scheme, "Bearer") && token != ""
}

// may lets a request pass whose sender may do something in the namespace of its path, or, where
// the path has none, on the whole platform.
func may(a access.Action, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if denied(w, r, a, r.PathValue("ns")) {
			return
		}
		next(w, r)
	}
}

// denied refuses a request whose sender may not do something.
func denied(w http.ResponseWriter, r *http.Request, a access.Action, namespace string) bool {
	return deny(w, principal(r.Context()).Check(a, namespace))
}

// deny refuses a request; without an error it does nothing. Somebody without a token is asked for
// one, somebody with one is told what it is not good for.
func deny(w http.ResponseWriter, err error) bool {
	var no *access.DeniedError
	switch {
	case err == nil:
		return false
	case errors.As(err, &no) && !no.Principal.Named():
		unauthorized(w, no.Error(), tokenHint)
	case errors.As(err, &no):
		writeRefusal(w, refuse(http.StatusForbidden, causeForbidden, no.Error(), no.Hint()))
	default:
		writeRefusal(w, refusalOf(err))
	}
	return true
}
