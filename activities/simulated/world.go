package simulated

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/activities/board"
	"stoker.dev/stoker/scale"
)

// World is the machines and what runs on them. Its methods are safe for concurrent use. The
// functions of its [Options] are called while it is locked: they must not call back into it.
type World struct {
	o     Options
	board board.Board

	mu       sync.Mutex
	nodes    []string
	lost     map[string]bool
	devices  []scale.Device
	replicas map[string]*replica
}

// NewWorld makes one.
func NewWorld(o Options) *World {
	w := &World{o: o.complete(), lost: map[string]bool{}, replicas: map[string]*replica{}}
	for n := range w.o.Nodes {
		node := fmt.Sprintf("node-%d", n)
		w.nodes = append(w.nodes, node)
		for g := range max(w.o.GPUs, 0) {
			w.devices = append(w.devices, scale.Device{
				ID: fmt.Sprintf("%s-gpu-%d", node, g), Node: node, Product: w.o.Product, Memory: w.o.Memory, Healthy: true,
			})
		}
	}
	return w
}

// Hold gives a GPU to somebody who is not ours; an empty who takes it back.
func (w *World) Hold(device, who string) {
	w.eachDevice(device, func(d *scale.Device) { d.Foreign = who })
}

// Sicken makes a GPU unhealthy, or healthy again.
func (w *World) Sicken(device string, healthy bool) {
	w.eachDevice(device, func(d *scale.Device) { d.Healthy = healthy })
}

func (w *World) eachDevice(id string, change func(*scale.Device)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.devices {
		if w.devices[i].ID == id {
			change(&w.devices[i])
		}
	}
}

// LoseNode puts a node out of reach. What runs there goes on, unseen and unheard.
func (w *World) LoseNode(node string) { w.setLost(node, true) }

// ReturnNode brings it back: its replicas are what they became meanwhile.
func (w *World) ReturnNode(node string) { w.setLost(node, false) }

func (w *World) setLost(node string, lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost[node] = lost
	for _, id := range w.ids() {
		r := w.replicas[id]
		if r.begun() && r.status.Node == node && !r.forgotten {
			w.post(r)
			w.beat(r)
			w.askAgain(r)
		}
	}
}

// Kill makes a replica crash now.
func (w *World) Kill(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.replicas[id]; r != nil && r.alive() {
		w.crash(r)
	}
}

// inventory is what a provider sees: nodes out of reach are not listed.
func (w *World) inventory() activities.Inventory {
	w.mu.Lock()
	defer w.mu.Unlock()
	gone := func(node string) bool { return w.lost[node] }
	return activities.Inventory{
		Nodes:   slices.DeleteFunc(slices.Clone(w.nodes), gone),
		Devices: slices.DeleteFunc(slices.Clone(w.devices), func(d scale.Device) bool { return gone(d.Node) }),
	}
}

// ids lists the replicas of a locked world, sorted, so that nothing depends on a map's order.
func (w *World) ids() []string { return slices.Sorted(maps.Keys(w.replicas)) }

// dice are a replica's own chances.
func (w *World) dice(id string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(id))
	return rand.New(rand.NewPCG(w.o.Seed, h.Sum64()))
}
