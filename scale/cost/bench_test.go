package cost_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/cost"
)

// BenchmarkMeter books a pool of a thousand GPUs, all of them held: at a change of the ledger, at a heartbeat, and as it
// is stored.
func BenchmarkMeter(b *testing.B) {
	const gpus = 1000
	var l scale.Ledger
	devices := make([]scale.Device, gpus)
	for i := range devices {
		devices[i] = scale.Device{ID: fmt.Sprintf("gpu-%d", i%8), Node: fmt.Sprintf("node-%04d", i/8), Product: "NVIDIA H200", Healthy: true}
	}
	l.SetInventory(nil, devices, origin)
	for i := range gpus {
		if _, err := l.Reserve(scale.Ask{Holder: fmt.Sprintf("r%04d", i), Owner: fmt.Sprintf("function default/f-%d", i%100), GPUs: 1}, 1000*time.Hour, origin); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("change", func(b *testing.B) {
		var m cost.Meter
		now := origin
		for b.Loop() {
			now = now.Add(time.Millisecond)
			m.Advance(l, now)
		}
	})
	b.Run("heartbeat", func(b *testing.B) {
		var m cost.Meter
		m.Advance(l, origin)
		now, told := origin, cost.Told{}
		for b.Loop() {
			now = now.Add(time.Millisecond)
			told.Useful += 0.001
			m.Explain("r0500", told, false, now)
		}
	})
	b.Run("store", func(b *testing.B) {
		var m cost.Meter
		m.Advance(l, origin)
		m.Pass(origin.Add(5 * time.Minute))
		for b.Loop() {
			data, err := json.Marshal(&m)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(len(data)), "bytes")
		}
	})
}
