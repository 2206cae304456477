package controller

import (
	"fmt"
	"testing"
	"time"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/workflows"
)

// held is a ledger of so many GPUs, all of one owner.
func held(t *testing.T, owner string, gpus int) *scale.Ledger {
	t.Helper()
	l := &scale.Ledger{}
	var devices []scale.Device
	for i := range gpus {
		devices = append(devices, scale.Device{ID: fmt.Sprint("gpu-", i), Node: "node", Healthy: true})
	}
	l.SetInventory([]string{"node"}, devices, now)
	for i := range gpus {
		if _, err := l.Reserve(scale.Ask{Holder: fmt.Sprint("r", i), Owner: owner, GPUs: 1}, time.Hour, now); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// TestShare: what is held warm is let go at once when another function goes short, and nobody
// is bounded before and after.
func TestShare(t *testing.T) {
	c := &Controller{fns: map[functions.Key]*function{}}
	add := func(name string, gpus, have, need int) *function {
		f := newFunction(functions.Key{Namespace: "default", Name: name})
		f.spec = scale.Spec{Max: 9, Slots: 1, GPUs: gpus}
		f.stored.State.Need = need
		for i := range have {
			id := fmt.Sprint(name, i)
			f.replicas[id] = &replica{id: id, phase: workflows.PhaseReady, beatAt: now}
		}
		c.fns[f.key] = f
		return f
	}
	warm, asked, none := add("warm", 1, 2, 1), add("asked", 1, 0, 2), add("none", 0, 2, 2)
	stock := new(scale.Stock).Of(held(t, "function "+warm.key.String(), 3)) // one of its replicas has not been seen yet
	if n := c.share(warm, stock, now); n != nil {
		t.Fatalf("bounded to %d while nobody goes short", *n)
	}
	asked.stored.State.Last.Limit = scale.ReasonNoGPU
	if n := c.share(warm, stock, now.Add(shareEvery/2)); n != nil {
		t.Fatal("divided anew at once")
	}
	later := now.Add(shareEvery)
	if n := c.share(asked, stock, later); n == nil || *n != 2 {
		t.Fatalf("who goes short is due %v of 3, want 2", n)
	}
	if n := c.share(warm, stock, later); n == nil || *n != 1 {
		t.Fatalf("who needs one is due %v, want 1", n)
	}
	if !warm.nextAt.Equal(later) || !asked.nextAt.Equal(later) || !none.nextAt.IsZero() {
		t.Errorf("looked at next: %v, %v and %v, want who has too many and who goes short, at once", warm.nextAt, asked.nextAt, none.nextAt)
	}
	if n := c.share(none, stock, later); n != nil {
		t.Errorf("a function without GPUs is bounded to %d", *n)
	}
	warm.nextAt = time.Time{}
	if c.share(warm, stock, later.Add(shareEvery)); !warm.nextAt.IsZero() {
		t.Error("looked at again though nothing changed")
	}
	asked.stored.State.Last.Limit = scale.ReasonNone
	if n := c.share(warm, stock, later.Add(2*shareEvery)); n != nil {
		t.Errorf("bounded to %d though nobody goes short any more", *n)
	}
}
