package controller

import (
	"context"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/functions"
)

// journalSize bounds what waits for the journal; it is written some thousand times a second.
const journalSize = 4096

// entry is one line of the journal.
type entry struct {
	key  functions.Key
	what string
	data any
}

// announce tells the journal what was decided.
func (c *Controller) announce(f *function, d any) { c.emit(f.key, "decided", d) }

// emit leaves a word for the journal. What finds no room is lost: the workflow's own history holds
// the same.
func (c *Controller) emit(k functions.Key, what string, data any) {
	select {
	case c.journal <- entry{k, what, data}:
	default:
		c.Log.Warn("the journal is behind, an event is not written", "function", k.String(), "what", what)
	}
}

// keepJournal writes it in the order of what happened, after the starts that are coming.
func (c *Controller) keepJournal(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-c.journal:
			c.Burst.Yield(ctx, activities.YieldMax)
			if err := c.Bus.Emit(ctx, e.key, "function", e.what, e.data); err != nil && ctx.Err() == nil {
				c.Log.Debug("event not written", "function", e.key.String(), "what", e.what, "error", err)
			}
		}
	}
}
