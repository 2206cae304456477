package local

import (
	"log/slog"
	"testing"

	"stoker.dev/stoker/activities/providertest"
)

// BenchmarkStart is what the provider adds to a cold start: from the call of Start until the
// agent's program runs. The agent here is this test binary.
func BenchmarkStart(b *testing.B) {
	for _, way := range []struct {
		name     string
		noCgroup bool
	}{{"Cgroup", false}, {"Scan", true}} {
		b.Run(way.name, func(b *testing.B) {
			if !way.noCgroup && findCgroups(slog.New(slog.DiscardHandler)) == nil {
				b.Skip("no cgroup can be made here")
			}
			o := options(b)
			o.NoCgroup = way.noCgroup
			l := open(b, o)
			for b.Loop() {
				s := spec(b, providertest.Serves)
				if err := l.Start(b.Context(), s); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := l.Stop(b.Context(), s.ID, 0); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
