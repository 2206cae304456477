package gateway

import (
	"context"
	"fmt"
	"net/http"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// call is a request that is about to be stored.
type call struct {
	key   functions.Key
	class functions.Class
	event events.Event
	fresh bool // the event's id was made here, for this call
	spec  functions.Spec
}

// admit decides whether a call may be stored, and by which function: where the queue of the
// one that was asked is full, its fallback takes a caller that waits.
func (g *Gateway) admit(ctx context.Context, c *call) *refusal {
	a, refused := g.look(ctx, c.key)
	if refused == nil {
		refused = g.storable()
	}
	if refused != nil {
		return refused
	}
	c.spec = a.Spec
	refused = g.room(ctx, c, a)
	if refused == nil || refused.Status() != events.StatusShed || !c.event.Sync || a.Spec.Overload.Fallback == "" {
		return refused
	}
	other := *c
	other.key.Name = a.Spec.Overload.Fallback
	b, ok := g.Control.Admission(other.key)
	if !ok || b.Deleting || b.Failing != nil || g.room(ctx, &other, b) != nil {
		return refused // no chains: a fallback's own fallback is not asked
	}
	other.spec = b.Spec
	*c = other
	return nil
}

// look finds a function that takes requests.
func (g *Gateway) look(ctx context.Context, k functions.Key) (api.Admission, *refusal) {
	a, ok := g.Control.Admission(k)
	switch {
	case !ok:
		return a, g.unknown(ctx, k)
	case a.Deleting:
		return a, deleting(k)
	case a.Failing != nil:
		g.Control.Refused(k) // demand all the same: it is a reason to try a replica
		return a, failing(k, a)
	}
	return a, nil
}

// storable refuses what could not be kept.
func (g *Gateway) storable() *refusal {
	if e := g.Refusal(); e != nil {
		return (&refusal{Error: *e}).after(retryStorage)
	}
	return nil
}

// room counts the call in, or refuses it because its class's queue is full.
func (g *Gateway) room(ctx context.Context, c *call, a api.Admission) *refusal {
	waiting, err := g.depths.take(ctx, c.key, c.class, a, g.Now())
	if err != nil {
		return refusalOf(err)
	}
	if waiting == nil {
		return nil
	}
	depth := a.Spec.Queue.Depth.Of(c.class)
	seconds := retryAfter(a.Spec)
	return refuse(http.StatusTooManyRequests, events.CauseQueueFull,
		fmt.Sprintf("the queue of %s is full: %d requests of class %s wait, %d may", c.key, waiting[c.class], c.class, depth),
		fmt.Sprintf("try again in %d s, or raise queue.depth or scaling.max; `stoker explain %s` says what holds it up", seconds, c.key)).
		after(seconds).shed()
}

// retryAfter is when a caller of a full queue should come back: once a request that is
// served within its objective has made room, but no later than a minute.
func retryAfter(s functions.Spec) int {
	const most = 60
	_, wait := s.Scaling.WaitSLO.Target()
	return min(max(int(wait.Seconds()), retrySoon), most)
}
