package gateway

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"stoker.dev/stoker/cmd/stoker/access"
	"stoker.dev/stoker/functions"
)

// namesAge is how long the list of deployed functions is used for suggestions: a client that
// keeps asking for a wrong name does not keep the controller busy.
const namesAge = 2 * time.Second

// names remembers which functions are deployed.
type names struct {
	mu   sync.Mutex
	list []string
	at   time.Time
}

// unknown says that there is no such function, and which one was probably meant.
func (g *Gateway) unknown(ctx context.Context, k functions.Key) *refusal {
	hint := "`stoker get` lists what is deployed"
	if best := functions.Closest(k.String(), visible(principal(ctx), k.Namespace, g.deployed(ctx))); best != "" {
		hint = "did you mean " + best + "?"
	}
	return refuse(http.StatusNotFound, causeNotFound, "function "+k.String()+" is not deployed", hint)
}

func (g *Gateway) deployed(ctx context.Context) []string {
	g.names.mu.Lock()
	defer g.names.mu.Unlock()
	if now := g.Now(); now.Sub(g.names.at) >= namesAge {
		fns, err := g.Control.List(ctx, "")
		if err != nil {
			return nil // the suggestion is a courtesy
		}
		g.names.list, g.names.at = nil, now
		for _, f := range fns {
			g.names.list = append(g.names.list, f.Key.String())
		}
	}
	return g.names.list
}

// visible are the names that somebody may know who asked within a namespace: an answer to a wrong
// name tells nothing of namespaces that are closed to them.
func visible(p access.Principal, namespace string, names []string) []string {
	var out []string
	for _, n := range names {
		if ns, _, _ := strings.Cut(n, "/"); ns == namespace || p.May(access.Look, ns) {
			out = append(out, n)
		}
	}
	return out
}
