package gateway

import "sync/atomic"

// crewIdle is how many goroutines are kept for the next tasks: a steady load needs as many as
// tasks are under way in one moment, a burst more, which go again.
const crewIdle = 64

// crew runs short tasks, each at once. It keeps goroutines for the next ones, because a new one
// would have to grow its stack again, which for an invoke is a good part of the work.
type crew struct {
	tasks chan func() // only those who wait take one
	idle  atomic.Int32
	done  <-chan struct{}
}

func newCrew(done <-chan struct{}) *crew { return &crew{tasks: make(chan func()), done: done} }

// do starts a task and returns.
func (c *crew) do(task func()) {
	select {
	case c.tasks <- task:
	default:
		go c.work(task)
	}
}

func (c *crew) work(task func()) {
	for {
		task()
		if c.idle.Add(1) > crewIdle {
			c.idle.Add(-1)
			return
		}
		select {
		case task = <-c.tasks:
			c.idle.Add(-1)
		case <-c.done:
			c.idle.Add(-1)
			return
		}
	}
}
