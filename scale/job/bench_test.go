package job_test

import (
	"testing"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// BenchmarkGangOf512 is one gang of 512 ranks from its admission until all of them are gone.
func BenchmarkGangOf512(b *testing.B) {
	var j functions.TrainingJob
	j.Spec.Resources.Nodes = 512
	spec := functions.DefaultJob(j).Spec
	for b.Loop() {
		s, _ := job.New(origin)
		tell := func(e job.Event) {
			e.Generation = 1
			next, _, err := job.Step(spec, s, e, origin)
			if err != nil {
				b.Fatal(err)
			}
			s = next
		}
		tell(job.Event{Kind: job.Admit, Nodes: 512})
		tell(job.Event{Kind: job.Place})
		for rank := range 512 {
			tell(job.Event{Kind: job.Arrive, Rank: rank})
		}
		for rank := range 512 {
			tell(job.Event{Kind: job.End, Rank: rank, Evidence: &job.Evidence{}})
		}
		if s.Phase != job.Succeeded {
			b.Fatalf("ended as %s", s.Phase)
		}
	}
}
