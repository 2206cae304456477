// Package mailbox is the way to a goroutine that owns a state. Whoever wants something of that state
// posts a closure; the owner runs one after another, so the state needs no lock. What takes time runs
// outside and posts its outcome back.
//
// The owner begins, reads [Box.In] until the context of [Box.Begin] ends, and then ends: from then on
// nothing is taken in, and who waits gets the error the box was made with.
package mailbox

import (
	"context"
	"sync"
)

// Box is one owner's mailbox. Its methods but Begin are safe for concurrent use once that has returned.
type Box struct {
	in      chan func()
	stopped chan struct{}
	refusal error
	ctx     context.Context //nolint:containedctx // 2026-11-28: of the owner: ends the work outside
	work    sync.WaitGroup
}

// New makes a box in which so many closures may wait. Who calls once the owner has ended gets refusal.
func New(size int, refusal error) *Box {
	return &Box{in: make(chan func(), size), stopped: make(chan struct{}), refusal: refusal}
}

// Begin is called by the owner, once. The context is its own; end ends that, refuses what comes from then on and
// returns when nothing runs outside any more.
func (b *Box) Begin(ctx context.Context) (inner context.Context, end func()) {
	inner, cancel := context.WithCancel(ctx)
	b.ctx = inner
	return inner, func() { cancel(); close(b.stopped); b.work.Wait() }
}

// In is what the owner runs.
func (b *Box) In() <-chan func() { return b.in }

// Post hands an outcome over and waits for room; it gives up when the owner has ended.
func (b *Box) Post(f func()) {
	select {
	case b.in <- f:
	case <-b.stopped:
	}
}

// Offer hands over what may be lost, and tells whether there was room.
func (b *Box) Offer(f func()) bool {
	select {
	case b.in <- f:
		return true
	default:
		return false
	}
}

// Call has the owner run f and waits for it.
func (b *Box) Call(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case b.in <- func() { f(); close(done) }:
	case <-ctx.Done():
		return ctx.Err()
	case <-b.stopped:
		return b.refusal
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-b.stopped:
		return b.refusal
	}
}

// Outside runs f beside the owner, with the owner's context; f posts its outcome.
func (b *Box) Outside(f func(ctx context.Context)) {
	b.work.Go(func() { f(b.ctx) })
}

// Wait returns when nothing runs outside.
func (b *Box) Wait() { b.work.Wait() }
