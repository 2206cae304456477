package gateway

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"sync"
)

// errRightsChanged is why somebody who follows is sent away: what they may see now is found out
// when they come back.
var errRightsChanged = errors.New("the rights of who followed it changed")

// following knows who reads what has no end. The zero value is ready.
type following struct {
	mu   sync.Mutex
	last uint64
	ends map[uint64]follower
}

type follower struct {
	name string // of the principal
	end  context.CancelCauseFunc
}

// enter gives somebody a context that ends when their rights change, or by leave, which is to be
// called.
func (f *following) enter(ctx context.Context, name string) (inner context.Context, leave context.CancelCauseFunc) {
	inner, end := context.WithCancelCause(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ends == nil {
		f.ends = map[uint64]follower{}
	}
	f.last++
	n := f.last
	f.ends[n] = follower{name, end}
	return inner, func(cause error) {
		f.mu.Lock()
		delete(f.ends, n)
		f.mu.Unlock()
		end(cause)
	}
}

func (f *following) endOf(names []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.ends {
		if slices.Contains(names, x.name) {
			x.end(errRightsChanged)
		}
	}
}

// DisconnectUsers ends what users follow whose rights changed; "" is those without credentials.
// Requests that were accepted are answered.
func (g *Gateway) DisconnectUsers(names []string) { g.following.endOf(names) }

// follow is the context of an answer without an end. Rights that changed since the request came in
// end it at once, those that change later do so then.
func (g *Gateway) follow(r *http.Request) (ctx context.Context, leave context.CancelCauseFunc) {
	who := principal(r.Context())
	ctx, leave = g.following.enter(r.Context(), who.Name)
	token, _ := bearer(r)
	if now, known := g.Keeper.ByToken(token); !known || !reflect.DeepEqual(now, who) {
		leave(errRightsChanged)
	}
	return ctx, leave
}
