package training

import (
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/job/contract"
)

// gang is the ranks of one attempt.
type gang struct {
	t       *testing.T
	job     *trainingJob
	ranks   []*rank
	started time.Time
	cause   job.Cause // what it was told to go for
	askedAt time.Time
}

// await waits for a report of the first rank, which speaks for the gang.
func (g *gang) await(what string, is func(contract.Report) bool) contract.Report {
	g.t.Helper()
	first := g.ranks[0]
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, r := range first.reports() {
			if is(r) {
				return r
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			g.t.Fatalf("no %s within %s; rank 0 printed:\n%s", what, patience, first.output.String())
		case <-first.done:
			for _, r := range first.reports() { // what it wrote last
				if is(r) {
					return r
				}
			}
			g.t.Fatalf("rank 0 ended (%s) without %s; it printed:\n%s", first.cmd.ProcessState, what, first.output.String())
		}
	}
}

// awaitStep waits until a step is done.
func (g *gang) awaitStep(step int64) contract.Report {
	g.t.Helper()
	return g.await("progress", func(r contract.Report) bool { return r.Verb == contract.Progress && r.Step >= step })
}

// awaitCheckpoint waits until a checkpoint is committed.
func (g *gang) awaitCheckpoint() contract.Report {
	g.t.Helper()
	return g.await("checkpoint", func(r contract.Report) bool { return r.Verb == contract.Committed })
}

// notify tells the gang to go, as agents do: the file in each rank, then the signal to each main process. When
// the grace is over the trees are killed.
func (g *gang) notify(cause job.Cause) {
	g.t.Helper()
	g.cause, g.askedAt = cause, time.Now()
	grace := g.job.spec.Preemption.Grace.D()
	notice := contract.NewNotice(job.Command{Do: job.Notify, Cause: cause, KillAt: g.askedAt.Add(grace)}, g.askedAt)
	text, err := json.Marshal(notice)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, r := range g.ranks {
		file := filepath.Join(r.place.Dir, contract.NoticeFile)
		if err := os.WriteFile(file+".tmp", text, 0o644); err != nil {
			g.t.Fatal(err)
		}
		if err := os.Rename(file+".tmp", file); err != nil {
			g.t.Fatal(err)
		}
	}
	for _, r := range g.ranks {
		r.asked = true
		r.signal(syscall.SIGTERM)
	}
	kill := time.AfterFunc(grace, func() {
		for _, r := range g.ranks {
			r.killTree()
		}
	})
	g.t.Cleanup(func() { kill.Stop() })
}

// end waits until every rank has ended by itself or was killed, and judges.
func (g *gang) end() job.Verdict {
	g.t.Helper()
	trial := job.Trial{Codes: g.job.spec.Retry.ExitCodes, Asked: g.cause, AskedAt: g.askedAt, Started: g.started}
	deadline := time.After(patience)
	for _, r := range g.ranks {
		select {
		case <-r.done:
		case <-deadline:
			g.t.Fatalf("rank %d still runs after %s; it printed:\n%s", r.place.Rank, patience, r.output.String())
		}
	}
	for _, r := range g.ranks {
		trial.Ranks = append(trial.Ranks, r.evidence())
	}
	for _, r := range g.ranks[0].reports() {
		trial.Step = max(trial.Step, r.Step)
		trial.Done = trial.Done || r.Event(1).Done
	}
	if c, ok := contract.Newest(g.job.list()); ok {
		trial.SavedAt = committedAt(g.t, filepath.Join(g.job.checkpoints, c.Name))
	}
	return job.Judge(trial)
}

// committedAt is when the marker of a checkpoint was written.
func committedAt(t *testing.T, dir string) time.Time {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, contract.Marker))
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

// want judges the gang and wants a class.
func (g *gang) want(class job.Class) job.Verdict {
	g.t.Helper()
	v := g.end()
	if v.Class != class {
		for _, r := range g.ranks {
			g.t.Logf("rank %d printed:\n%s", r.place.Rank, r.output.String())
		}
		g.t.Fatalf("the gang's end is %+v, want %s", v, class)
	}
	return v
}

// codes are the exit codes of the ranks, -1 for one that a signal ended.
func (g *gang) codes() []int {
	var out []int
	for _, r := range g.ranks {
		out = append(out, r.cmd.ProcessState.ExitCode())
	}
	return out
}

// losses are the losses that the first rank reported, by step.
func (g *gang) losses() map[int64]float64 {
	g.t.Helper()
	out := map[int64]float64{}
	for _, r := range g.ranks[0].reports() {
		if r.Verb == contract.Progress && r.Loss != nil {
			out[r.Step] = *r.Loss
		}
	}
	return out
}
