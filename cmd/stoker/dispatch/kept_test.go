package dispatch

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"

	"stoker.dev/stoker/scale/jobs"
)

// What is learned stays below what a broker takes as one message, however much of it there is.
func TestWhatIsLearnedCanAlwaysBeStored(t *testing.T) {
	l := newLending(t)
	name := func(i int) string { return fmt.Sprintf("%063d", i) }
	p := &l.planner
	p.History.Classes = map[string]*jobs.Class{}
	for i := range jobs.MaxClasses {
		c := &jobs.Class{Jobs: 1e6, Last: uint64(i)}
		for bin := range c.Count {
			c.Count[bin], c.Seconds[bin] = 20_000, math.Pi*1e6
		}
		p.History.Classes[fmt.Sprintf("%d/%q/%q", i, name(i), name(i))] = c
	}
	for i := range 1000 {
		p.History.Recent = append(p.History.Recent, jobs.Lesson{User: name(i), Name: name(i), GPUs: 1024, Seconds: math.Pi * 1e6})
	}
	for i := range jobs.MaxPrograms {
		for range jobs.DrainsKept {
			p.Drains.Learn(name(i), name(i), time.Hour+time.Nanosecond)
		}
	}
	for range 7 * 24 * 12 {
		p.Demand.Most = append(p.Demand.Most, 100_000)
	}
	p.Usage = map[string]jobs.Usage{}
	for i := range maxQueues {
		p.Usage[name(i)+"/"+name(i)] = jobs.Usage{GPUSeconds: math.Pi * 1e9, Counted: origin.Add(time.Nanosecond)}
	}
	l.saveLearned()
	for p.saving {
		(<-l.box.In())()
	}
	if p.unsaved {
		t.Fatal("it cannot be stored")
	}
	var stored learned
	again := kept{key: learnedKey}
	if err := again.restore(t.Context(), l.Learned, &stored); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(stored)
	if err != nil || len(text) > maxKept || len(text) < maxKept/2 {
		t.Errorf("%d bytes are stored of %d that there is room for, %v", len(text), maxKept, err)
	}
	if n := len(stored.Drains.Programs); n == 0 || stored.Drains.Programs[n-1].Name != name(jobs.MaxPrograms-1) || len(stored.Usage) != maxQueues {
		t.Errorf("%d programs and %d queues are left", n, len(stored.Usage))
	}
}
