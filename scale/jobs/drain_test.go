package jobs

import (
	"fmt"
	"testing"
	"time"
)

func TestDrainsAreLearnedByProgram(t *testing.T) {
	var d Drains
	if got := d.Of("u", "a", time.Minute); got != time.Minute {
		t.Errorf("never left: %v, want its grace", got)
	}
	for i := range 2 * DrainsKept {
		took := 2 * time.Second
		if i < DrainsKept {
			took = 50 * time.Second // before it was mended
		}
		d.Learn("u", "a", took)
		d.Learn("u", "b", time.Duration(i)*time.Second)
	}
	if got := d.Of("u", "a", time.Minute); got != 2*time.Second {
		t.Errorf("mended: %v", got)
	}
	if got := d.Of("u", "b", time.Minute); got != 38*time.Second {
		t.Errorf("the last %d, from 20 s to 39 s: %v", DrainsKept, got)
	}
	d.Learn("v", "a", time.Hour)
	if got := d.Of("v", "a", time.Minute); got != time.Hour {
		t.Errorf("one leave: %v", got)
	}
}

func TestDrainsAreBounded(t *testing.T) {
	var d Drains
	for i := range MaxPrograms + 1 {
		d.Learn("u", fmt.Sprint(i), time.Second)
	}
	if len(d.Programs) != MaxPrograms || d.Of("u", "0", time.Minute) != time.Minute || d.Of("u", "1", time.Minute) != time.Second {
		t.Errorf("%d programs; the one that left longest ago is to be forgotten", len(d.Programs))
	}
}

func TestDrainsForgetWhoLeftLongestAgo(t *testing.T) {
	var d Drains
	for i := range 20 {
		d.Learn("u", fmt.Sprint(i), time.Second)
	}
	if !d.Forget() || len(d.Programs) != 17 || d.Programs[0].Name != "3" {
		t.Errorf("left are %+v", d.Programs)
	}
	for d.Forget() {
		continue
	}
	if len(d.Programs) > 0 {
		t.Errorf("never forgotten: %+v", d.Programs)
	}
}
