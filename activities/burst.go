package activities

import (
	"context"
	"sync"
	"time"

	"stoker.dev/stoker/functions"
)

// YieldMax is the longest that a started replica waits for the starts of other functions before
// its queue opens and its step goes on. A hundred starts at once take half of that on two cores,
// and no model is loaded sooner.
const YieldMax = 500 * time.Millisecond

// ClaimYieldMax is the longest that word of a claim and the start of a gang wait for the claims of jobs that were let in
// with it. A start takes seconds by itself, and until a job has its claim others may be let in on the same GPUs. It is
// less than the workflow waits for word to be told.
const ClaimYieldMax = 3 * time.Second

// Burst lets starts go first. What follows a start (its queue's consumers, the next workflow
// task, the logbook) costs more than the start itself; when many functions wake in one moment,
// doing it at once would make the last of them wait for all of it.
//
// The controller says which starts are coming, the activities say which were begun. A function
// has at most one step under way, so it is counted once. The claims of training jobs, in a Burst of
// their own, go before the starts of their gangs in the same way. A nil Burst knows of none. Safe for
// concurrent use.
type Burst struct {
	mu     sync.Mutex
	coming map[functions.Key]bool
	quiet  chan struct{} // closed when coming gets empty; nil while it is
}

// Coming says that a step with starts of a function was ordered.
func (b *Burst) Coming(k functions.Key) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.coming) == 0 {
		b.coming, b.quiet = map[functions.Key]bool{}, make(chan struct{})
	}
	b.coming[k] = true
}

// Begun says that the starts of a function were made, or will not be.
func (b *Burst) Begun(k functions.Key) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.coming[k] {
		return
	}
	if delete(b.coming, k); len(b.coming) == 0 {
		close(b.quiet)
		b.quiet = nil
	}
}

// Yield waits until no start is coming, for so long at most.
func (b *Burst) Yield(ctx context.Context, most time.Duration) {
	if b == nil {
		return
	}
	b.mu.Lock()
	quiet := b.quiet
	b.mu.Unlock()
	if quiet == nil {
		return
	}
	limit := time.NewTimer(most)
	defer limit.Stop()
	select {
	case <-quiet:
	case <-limit.C:
	case <-ctx.Done():
	}
}
