package scale

import (
	"fmt"
	"testing"
	"time"

	"stoker.dev/stoker/functions"
)

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{0, 1, 8, 64} {
		b.Run(fmt.Sprintf("replicas=%d", n), func(b *testing.B) {
			spec := Spec{Revision: "a", Max: 100, Slots: 4, Wait: 2 * time.Second, KeepAlive: AutoKeepAlive, GPUs: 1}
			obs := Observation{Pending: map[functions.Class]int{functions.Standard: n}, FreeGPUs: 8}
			for i := range n {
				obs.Replicas = append(obs.Replicas, Replica{ID: fmt.Sprintf("r%03d", i), Revision: "a", Phase: Ready, Since: origin, InFlight: 3})
			}
			var s State
			now := origin
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Second)
				s, _ = Decide(spec, s, obs, now)
			}
		})
	}
}

func BenchmarkLedger(b *testing.B) {
	for _, n := range []int{8, 1000} {
		var l Ledger
		for i := range n {
			l.Devices = append(l.Devices, Device{ID: fmt.Sprintf("gpu-%d", i%8), Node: fmt.Sprintf("node-%04d", i/8), Product: "NVIDIA H100 80GB HBM3", Memory: 80 << 30, Healthy: true})
		}
		for i := range n - 1 {
			if _, err := l.Reserve(Ask{Holder: fmt.Sprintf("r%04d", i), Owner: fmt.Sprint("function default/", i%10), GPUs: 1}, time.Minute, origin); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(fmt.Sprintf("reserve-release/devices=%d", n), func(b *testing.B) {
			for b.Loop() {
				try := l
				if _, err := try.Reserve(Ask{Holder: "x", Owner: "function default/x", GPUs: 1, Products: []string{"h100"}}, time.Minute, origin); err != nil {
					b.Fatal(err)
				}
				if err := try.Release("x", "drained", origin); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("refuse/devices=%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := l.Reserve(Ask{Holder: "y", Owner: "function default/y", GPUs: 2}, time.Minute, origin); err == nil {
					b.Fatal("placed on a full pool")
				}
			}
		})
	}
}
