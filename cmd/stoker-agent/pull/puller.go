package pull

import (
	"log/slog"
	"sync"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// Broker takes asks; see [events.Intake].
type Broker interface {
	Ask(class, n int, wait time.Duration, id uint64) error
	// Stop ends every open ask, before it returns.
	Stop() error
}

var _ Broker = (*events.Intake)(nil)

// Puller plays a [Machine] against a broker: it is the receiver of an intake, and calls
// work for each request in one of its goroutines, never more than there are slots. They are
// kept for later requests: a new one would have to grow its stack again, each time.
type Puller struct {
	work func(*events.Delivery)
	log  *slog.Logger

	mu      sync.Mutex
	m       *Machine
	broker  Broker // nil until Begin
	held    []surplus
	pending [classN]uint64
	workers int                   // goroutines that there are
	todo    chan *events.Delivery // for the goroutines; as many at most as there are slots
	timer   *time.Timer
	idle    chan struct{} // closed when stopped and nothing runs
	stopped bool
}

// surplus is a request that waits for a slot, until it is given back.
type surplus struct {
	*events.Delivery
	until time.Time
}

var _ events.IntakeReceiver = (*Puller)(nil)

// NewPuller makes a puller with so many slots; [Puller.Begin] starts it.
func NewPuller(slots int, work func(*events.Delivery), log *slog.Logger) *Puller {
	p := &Puller{work: work, log: log, m: New(slots), todo: make(chan *events.Delivery, slots), idle: make(chan struct{})}
	p.timer = time.AfterFunc(time.Hour, p.tick)
	p.timer.Stop()
	return p
}

// Begin starts asking b.
func (p *Puller) Begin(b Broker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broker = b
	if p.stopped {
		p.hush()
	}
	p.step(time.Now())
}

// step sends what the machine wants sent and sets the alarm; p.mu is held.
func (p *Puller) step(now time.Time) {
	p.promote()
	if p.broker == nil {
		return
	}
	asks := p.m.Next(now)
	for _, a := range asks {
		p.send(a, now)
	}
	p.alarm(now)
}

func (p *Puller) send(a Ask, now time.Time) {
	wait := time.Duration(0)
	if a.Wait {
		wait = WaitFor
	}
	if err := p.broker.Ask(a.Class, a.N, wait, a.ID); err != nil {
		p.log.Debug("ask not sent", "class", a.Class, "err", err)
		p.m.Refused(a.ID, now)
	}
}

// promote starts held requests as slots allow, the most urgent first.
func (p *Puller) promote() {
	for len(p.held) > 0 && p.m.Promoted() {
		best := 0
		for i := range p.held {
			if index(p.held[i].Request.Class) < index(p.held[best].Request.Class) {
				best = i
			}
		}
		d := p.held[best].Delivery
		p.held = append(p.held[:best], p.held[best+1:]...)
		p.start(d)
	}
}

// start gives a request that has a slot to a goroutine: one for each request that runs; p.mu
// is held.
func (p *Puller) start(d *events.Delivery) {
	if p.workers < p.m.Running() {
		p.workers++
		go p.serve()
	}
	p.todo <- d // there is room for one per slot
}

// serve runs requests until nothing more can come.
func (p *Puller) serve() {
	for d := range p.todo {
		p.run(d)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.workers--
}

// alarm calls tick when the machine or a held request next needs it.
func (p *Puller) alarm(now time.Time) {
	next := p.m.Deadline(now)
	for _, h := range p.held {
		if next.IsZero() || h.until.Before(next) {
			next = h.until
		}
	}
	if next.IsZero() {
		p.timer.Stop()
		return
	}
	p.timer.Reset(next.Sub(now))
}

func (p *Puller) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.giveBack(now)
	p.step(now)
}

// giveBack returns the held requests whose time is over.
func (p *Puller) giveBack(now time.Time) {
	keep := p.held[:0]
	for _, h := range p.held {
		if !p.stopped && now.Before(h.until) {
			keep = append(keep, h)
			continue
		}
		p.m.GaveBack()
		if err := h.GiveBack(0); err != nil {
			p.log.Warn("a surplus request could not be given back; the broker takes it after its ack wait", "err", err)
		}
	}
	p.held = keep
}

// Delivered starts a request, or holds it while no slot is free.
func (p *Puller) Delivered(d *events.Delivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	class := index(d.Request.Class)
	p.pending[class] = d.Pending
	if p.m.Delivered(class, d.Pending, now) {
		p.start(d)
	} else {
		p.held = append(p.held, surplus{d, now.Add(HoldFor)})
	}
	if p.stopped {
		p.giveBack(now)
	}
	p.step(now)
}

func (p *Puller) run(d *events.Delivery) {
	p.work(d)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.m.Finished(now)
	p.step(now)
	p.settle()
}

// Ended is told that the broker has nothing more for an ask.
func (p *Puller) Ended(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if class, ok := p.m.Ended(id, now); ok {
		p.pending[class] = 0
	}
	p.step(now)
}

// Refused is told that the broker could not serve an ask.
func (p *Puller) Refused(id uint64, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.log.Debug("ask refused, asking again soon", "why", why)
	p.m.Refused(id, now)
	p.step(now)
}

// Connection is told when the connection came or went: open asks died with it.
func (p *Puller) Connection(up bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.m.Reset()
	if up {
		p.step(time.Now())
	}
}

// Stop asks for nothing more and gives the surplus back; what runs goes on. The channel is
// closed once nothing runs.
func (p *Puller) Stop() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopped {
		p.stopped = true
		p.m.Stop()
		p.hush()
		p.giveBack(time.Now())
		p.timer.Stop()
		p.settle()
	}
	return p.idle
}

// hush ends the open asks: what is given back from now on must not come here again.
func (p *Puller) hush() {
	if p.broker == nil {
		return
	}
	if err := p.broker.Stop(); err != nil {
		p.log.Warn("open asks not ended; what they get is given back", "err", err)
	}
}

// settle closes idle once; p.mu is held.
func (p *Puller) settle() {
	if !p.stopped || p.m.Running() > 0 {
		return
	}
	select {
	case <-p.idle:
	default:
		close(p.idle)
		close(p.todo)
	}
}

// Running is the number of requests that hold a slot.
func (p *Puller) Running() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.m.Running()
}

// Pending is how many requests of each class waited when last heard of.
func (p *Puller) Pending() map[functions.Class]uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[functions.Class]uint64, classN)
	for i, c := range functions.Classes() {
		out[c] = p.pending[i]
	}
	return out
}

// index is a class's place in [functions.Classes].
func index(c functions.Class) int {
	switch c {
	case functions.Interactive:
		return 0
	case functions.Standard:
		return 1
	default:
		return 2
	}
}
