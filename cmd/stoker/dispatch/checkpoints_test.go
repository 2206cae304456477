package dispatch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/job/contract"
)

// An attempt that begins from nothing commits steps below those that an earlier one has left.
func TestAnAttemptThatBeginsAnewKeepsItsCheckpoints(t *testing.T) {
	l := newLending(t)
	l.e.rec.Job.Spec.Checkpoint = functions.Checkpoint{Resume: functions.ResumeNever, Keep: 2}
	dir, err := l.Checkpoints.Dir(l.e.rec)
	if err != nil {
		t.Fatal(err)
	}
	path := func(step int) string { return filepath.Join(dir, fmt.Sprintf("step-%d", step)) }
	commit := func(step int) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(path(step), 0o755), os.WriteFile(filepath.Join(path(step), contract.Marker), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []int{9000, 9500, 10000} {
		commit(step)
	}
	l.borrow(1)
	for _, step := range []int{100, 200, 300} {
		commit(step)
		l.step(clearEvery.Seconds(), func(s *job.State) {
			s.Saved = job.Saved{Path: path(step), Step: int64(step), At: l.now, Generation: s.Generation}
		})
		l.box.Wait()
	}
	for step, want := range map[int]bool{100: false, 200: true, 300: true, 10000: true} {
		if _, err := os.Stat(path(step)); (err == nil) != want {
			t.Errorf("step %d: %v; want it there: %v", step, err, want)
		}
	}
}
