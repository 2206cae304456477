package gateway

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"stoker.dev/stoker/cmd/stoker/access"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/scale/cost"
)

// defaultSince is how far back cost is told where nobody says.
const defaultSince = "24h"

// cost says where GPU time went. How much others have used is no secret among those who share a
// pool; whose it was is, where the asker may not look.
func (g *Gateway) cost(w http.ResponseWriter, r *http.Request) {
	p, q := principal(r.Context()), r.URL.Query()
	if deny(w, somewhere(p, access.Look)) {
		return
	}
	by := cost.By(cmp.Or(q.Get("by"), string(cost.ByFunction)))
	if !slices.Contains(cost.Ways(), by) {
		writeRefusal(w, badRequest("?by", string(by), ways()))
		return
	}
	since, err := api.ParseSince(cmp.Or(q.Get("since"), defaultSince), g.Now())
	if err != nil {
		writeRefusal(w, refuse(http.StatusBadRequest, "bad-request", err.Error(), ""))
		return
	}
	var out api.Cost
	out.Report, err = g.Control.Cost(r.Context(), since, by, func(ns string) bool { return p.May(access.Look, ns) })
	if err == nil && g.Jobs != nil {
		out.Loans, err = g.Jobs.Loans(r.Context(), since)
	}
	g.write(w, r, out, err)
}

func ways() string {
	var names []string
	for _, b := range cost.Ways() {
		names = append(names, string(b))
	}
	return strings.Join(names, ", ")
}
