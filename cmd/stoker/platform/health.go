package platform

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// probeEvery bounds how often readiness writes to the disk, however often it is asked.
const probeEvery = 5 * time.Second

// probeTimeout bounds one write; a healthy disk takes microseconds.
const probeTimeout = 2 * time.Second

// probe remembers the last answer.
type probe struct {
	mu  sync.Mutex
	at  time.Time
	err error
}

// healthy tells whether the platform can take work: its servers answer, and what is published
// can be stored. Servers that ran out of disk go on answering.
func (p *Platform) healthy(ctx context.Context) error {
	if refusal := p.storage.Refusal(); refusal != nil {
		return refusal
	}
	if err := p.servers.Healthy(ctx); err != nil {
		return err
	}
	p.probe.mu.Lock()
	defer p.probe.mu.Unlock()
	if time.Since(p.probe.at) > probeEvery {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
		defer cancel()
		p.probe.err, p.probe.at = p.store(ctx), time.Now()
	}
	return p.probe.err
}

func (p *Platform) store(ctx context.Context) error {
	if err := p.bus.Probe(ctx); err != nil {
		return fmt.Errorf("the broker does not store: %w; is the disk of %s full, or read-only?", err, p.dir.Path())
	}
	return nil
}
