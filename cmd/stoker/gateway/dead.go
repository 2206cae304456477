package gateway

import (
	"context"
	"fmt"
	"math"
	"net/http"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

const (
	// deadPage is how many dead letters are read at a time.
	deadPage = 50
	// maxDeadBytes bounds the payloads of one page, so that large requests come in more pages
	// and not in one answer of gigabytes. A page has one letter at least.
	maxDeadBytes = 8 << 20
)

// listDead is GET …/dead: one page after a sequence. A page shorter than the limit does not
// end the list, an empty one does.
func (g *Gateway) listDead(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	after, refused := intParam(q, "after", 0, math.MaxInt)
	if refused == nil {
		var limit int
		if limit, refused = intParam(q, "limit", deadPage, events.MaxPage); refused == nil {
			page, err := g.deadAfter(r.Context(), pathKey(r), uint64(after), max(limit, 1))
			g.write(w, r, page, err)
			return
		}
	}
	writeRefusal(w, refused)
}

func (g *Gateway) deadAfter(ctx context.Context, k functions.Key, after uint64, limit int) ([]api.DeadLetter, error) {
	out, size, next := []api.DeadLetter{}, 0, after+1
	for next > 0 && len(out) < limit && size < maxDeadBytes {
		page, more, err := g.Bus.DeadLetters(ctx, k, next, min(limit-len(out), deadPage))
		if err != nil {
			return nil, err
		}
		for _, d := range page {
			out, size = append(out, deadLetter(d)), size+len(d.Request.Event.Data)
			if size >= maxDeadBytes {
				break
			}
		}
		next = more
	}
	return out, nil
}

func deadLetter(d events.DeadLetter) api.DeadLetter {
	e := d.Request.Event
	return api.DeadLetter{
		Seq: d.Seq, ID: e.ID, Source: e.Source, Class: d.Request.Class, Attempts: d.Failures, Cause: d.Cause, Message: d.Message,
		Redrive: e.Redrive, At: d.Died, ContentType: e.DataContentType, Data: e.Data,
	}
}

// redeem is POST …/dead.
func (g *Gateway) redeem(ctx context.Context, k functions.Key, o api.DeadRequest) (any, error) {
	if o.All == (len(o.Seqs) > 0) {
		return nil, &badRequest("seqs and all", fmt.Sprint(o.Seqs, o.All), "the sequences of dead letters, or all").Error
	}
	switch o.Op {
	case "redrive":
		return g.redrive(ctx, k, o)
	case "purge":
		return g.purge(ctx, k, o)
	default:
		return nil, &badRequest("op", o.Op, "redrive, purge").Error
	}
}

// redrive runs dead letters again. Those that die again meanwhile are not run a third time.
func (g *Gateway) redrive(ctx context.Context, k functions.Key, o api.DeadRequest) (any, error) {
	seqs := o.Seqs
	if o.All {
		var err error
		if seqs, err = g.deadSeqs(ctx, k); err != nil {
			return nil, err
		}
	}
	out := api.DeadAnswer{}
	for _, seq := range seqs {
		ack, err := g.Bus.Redrive(ctx, k, seq)
		if err != nil {
			refused := refusalOf(err)
			refused.Message = fmt.Sprintf("dead letter %d: %s (%d of %d run again)", seq, refused.Message, out.N, len(seqs))
			return nil, &refused.Error
		}
		out.N, out.IDs = out.N+1, append(out.IDs, ack.ID)
	}
	return out, nil
}

// deadSeqs lists what is there now.
func (g *Gateway) deadSeqs(ctx context.Context, k functions.Key) ([]uint64, error) {
	now := g.Now()
	var out []uint64
	for next := uint64(1); next > 0; {
		page, more, err := g.Bus.DeadLetters(ctx, k, next, deadPage)
		if err != nil {
			return nil, err
		}
		for _, d := range page {
			if d.Died.After(now) {
				return out, nil
			}
			out = append(out, d.Seq)
		}
		next = more
	}
	return out, nil
}

func (g *Gateway) purge(ctx context.Context, k functions.Key, o api.DeadRequest) (any, error) {
	if o.All {
		n, err := g.Bus.PurgeDead(ctx, k)
		return api.DeadAnswer{N: n}, err
	}
	out := api.DeadAnswer{}
	for _, seq := range o.Seqs {
		if _, err := g.Bus.DeadLetter(ctx, k, seq); err != nil { // also one of another function
			return nil, err
		}
		if err := g.Bus.DeleteDead(ctx, seq); err != nil {
			return nil, err
		}
		out.N++
	}
	return out, nil
}
