package contract_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/job/contract"
)

func TestReadCheckpoint(t *testing.T) {
	for _, c := range []struct {
		name  string
		files []string
		want  contract.Checkpoint
		is    bool
	}{
		{"step-7", []string{"model.bin", "COMMITTED"}, contract.Checkpoint{Name: "step-7", Step: 7, Committed: true}, true},
		{"step-007", []string{"__0_0.distcp", ".metadata"}, contract.Checkpoint{Name: "step-007", Step: 7, Committed: true}, true},
		{"step-7", []string{"model.bin", "COMMITTED.tmp"}, contract.Checkpoint{Name: "step-7", Step: 7}, true},
		{"step-7", nil, contract.Checkpoint{Name: "step-7", Step: 7}, true},
		{"step-7.tmp", []string{"COMMITTED"}, contract.Checkpoint{}, false},
		{"latest", []string{"COMMITTED"}, contract.Checkpoint{}, false},
		{"step--7", nil, contract.Checkpoint{}, false},
		{"step-9999999999999999999", nil, contract.Checkpoint{}, false},
	} {
		if got, is := contract.ReadCheckpoint(c.name, c.files); got != c.want || is != c.is {
			t.Errorf("%s %v: %+v, %v", c.name, c.files, got, is)
		}
	}
}

func TestResume(t *testing.T) {
	committed, begun := contract.Checkpoint{Name: "step-10", Step: 10, Committed: true}, contract.Checkpoint{Name: "step-20", Step: 20}
	for _, c := range []struct {
		how  functions.Resume
		list []contract.Checkpoint
		want string
		err  error
	}{
		{functions.ResumeAuto, []contract.Checkpoint{begun, committed}, "/ckpt/step-10", nil},
		{functions.ResumeMust, []contract.Checkpoint{begun, committed}, "/ckpt/step-10", nil},
		{functions.ResumeNever, []contract.Checkpoint{begun, committed}, "", nil},
		{functions.ResumeAuto, []contract.Checkpoint{begun}, "", nil},
		{functions.ResumeMust, []contract.Checkpoint{begun}, "", contract.ErrNoCheckpoint},
		{functions.ResumeMust, nil, "", contract.ErrNoCheckpoint},
	} {
		if got, err := contract.Resume(c.how, "/ckpt", c.list); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s %v: %q, %v", c.how, c.list, got, err)
		}
	}
}

// What is cleared is never what would be resumed from, nor what may be being written.
func TestClearingKeepsWhatCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []contract.Checkpoint
		for _, step := range rapid.SliceOfNDistinct(rapid.Int64Range(0, 30), 0, 12, rapid.ID).Draw(t, "steps") {
			list = append(list, contract.Checkpoint{Name: fmt.Sprintf("step-%d", step), Step: step, Committed: rapid.Bool().Draw(t, "committed")})
		}
		keep := rapid.IntRange(0, 5).Draw(t, "keep")
		newest, found := contract.Newest(list)
		removed := contract.Surplus(list, keep)
		kept := 0
		for _, c := range list {
			gone := slices.Contains(removed, c.Name)
			if c.Committed && !gone {
				kept++
			}
			if gone && (!found || c.Step >= newest.Step) {
				t.Fatalf("removes %s, the newest that counts is %+v", c.Name, newest)
			}
		}
		committed := 0
		for _, c := range list {
			if c.Committed {
				committed++
			}
		}
		if kept != min(committed, max(1, keep)) {
			t.Fatalf("keeps %d of %d, wanted %d", kept, committed, keep)
		}
	})
}

func TestNotice(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	n := contract.NewNotice(job.Command{Do: job.Notify, Cause: job.CauseRecalled, KillAt: now.Add(30 * time.Second)}, now)
	text, err := json.Marshal(n)
	const want = `{"reason":"recalled","deadline":"2026-01-01T00:00:30Z","seconds":30}`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
	if late := contract.NewNotice(job.Command{KillAt: now}, now.Add(time.Minute)); late.Seconds != 0 {
		t.Errorf("%d seconds left after the end", late.Seconds)
	}
}
