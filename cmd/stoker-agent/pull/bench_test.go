package pull

import (
	"testing"
	"time"
)

// BenchmarkMachine is one request's part in the machine of a busy agent: asked for, delivered,
// finished.
func BenchmarkMachine(b *testing.B) {
	m, broker, now := New(64), &broker{}, start
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(100 * time.Microsecond)
		broker.queue[0]++
		for broker.open = append(broker.open, m.Next(now)...); broker.queue[0] > 0; {
			broker.serve(m, 0, now)
			broker.open = append(broker.open, m.Next(now)...)
		}
		m.Finished(now)
	}
}
