package gateway

import (
	"sync"
	"testing"
	"time"
)

// TestCrewRunsTasksAtOnce: as many as come, none waits for another, and few are kept.
func TestCrewRunsTasksAtOnce(t *testing.T) {
	done := make(chan struct{})
	c := newCrew(done)
	const tasks = 3 * crewIdle
	for range 3 {
		var all, begun sync.WaitGroup
		begun.Add(tasks)
		for range tasks {
			all.Add(1)
			c.do(func() {
				defer all.Done()
				begun.Done()
				begun.Wait() // for every other one
			})
		}
		all.Wait()
	}
	// One that finds enough others idle counts itself for a moment before it goes.
	eventually(t, "few are kept", func() bool { return c.idle.Load() <= crewIdle })
	close(done)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(inTime); c.idle.Load() > 0; <-look.C {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines are left", c.idle.Load())
		}
	}
}
