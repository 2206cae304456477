package contract_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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
		removed := contract.Keeping{Checkpoint: functions.Checkpoint{Keep: keep}}.Surplus(list)
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

// What may go depends on what an attempt begins with: {9000, 9500, 10000} are of an earlier run, or of an attempt
// that got further.
func TestWhatMayGo(t *testing.T) {
	submitted := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	// at makes committed checkpoints, one a second; those that are negative were never finished.
	at := func(from time.Time, steps ...int64) (out []contract.Checkpoint) {
		for i, step := range steps {
			name := fmt.Sprintf("step-%d", max(step, -step))
			out = append(out, contract.Checkpoint{Name: name, Step: max(step, -step), Committed: step > 0, At: from.Add(time.Duration(i) * time.Second)})
		}
		return out
	}
	before, after := at(submitted.Add(-time.Hour), 9000, 9500, 10000), at(submitted, 9000, 9500, 10000)
	later := submitted.Add(time.Hour)
	const never, named = functions.ResumeNever, "file:///mnt/run"
	for _, c := range []struct {
		name   string
		how    functions.Checkpoint
		list   []contract.Checkpoint
		saved  int64 // 0: none was reported
		atWork bool
		want   []string
	}{
		{"a first one", functions.Checkpoint{Resume: never}, slices.Concat(after, at(later, 100)), 100, true, nil},
		{"beyond keep", functions.Checkpoint{Resume: never}, slices.Concat(after, at(later, 100, -150, 200, 300)), 300, true, []string{"step-100", "step-150"}},
		{"written over", functions.Checkpoint{Resume: never}, slices.Concat(at(submitted, 200, 300), at(later, 100, -250)), 100, true, nil},
		{"passed", functions.Checkpoint{Resume: never}, slices.Concat(at(submitted, 150, 300), at(later, 100, 200)), 200, true, []string{"step-150"}},
		{"between attempts", functions.Checkpoint{Resume: never}, slices.Concat(after, at(later, 100, 200, -300)), 200, false, []string{"step-9000", "step-9500", "step-10000", "step-300"}},
		{"the attempt got nowhere", functions.Checkpoint{Resume: never}, after, 9000, false, nil},
		{"nothing is reported", functions.Checkpoint{Resume: never}, slices.Concat(after, at(later, 100, 200)), 0, false, []string{"step-9000", "step-9500", "step-10000"}},
		{"a named one, at work", functions.Checkpoint{Resume: never, URI: named}, slices.Concat(at(submitted.Add(-time.Hour), 50, -60), before, at(later, 100, 200, 300)), 300, true, []string{"step-100"}},
		{"a named one, between attempts", functions.Checkpoint{Resume: never, URI: named}, slices.Concat(at(submitted.Add(-time.Hour), 50, -60), before, at(later, 100, 200, 300)), 300, false, []string{"step-100"}},
		{"taken over", functions.Checkpoint{URI: named}, slices.Concat(before, at(later, 10100)), 10100, true, []string{"step-9000", "step-9500"}},
		{"not taken over by the program", functions.Checkpoint{URI: named}, slices.Concat(before, at(later, 100, 200, 300)), 300, true, []string{"step-100"}},
		{"nor later", functions.Checkpoint{URI: named}, slices.Concat(before, at(later, 100, 200, 300)), 300, false, []string{"step-100"}},
		{"one that nobody has heard of yet", functions.Checkpoint{}, at(later, 100, 200, 300, 400), 300, true, []string{"step-100"}},
		{"reported, and not seen", functions.Checkpoint{}, at(later, 100, 200, 300, -400), 400, true, []string{"step-100"}},
	} {
		c.how.Keep = 2
		k := contract.Keeping{Checkpoint: c.how, Submitted: submitted, AtWork: c.atWork}
		if c.saved > 0 {
			k.Saved = job.Saved{Path: fmt.Sprintf("/ckpt/step-%d", c.saved), Step: c.saved}
		}
		if got := k.Surplus(c.list); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v go, want %v", c.name, got, c.want)
		}
	}
}

// However often a job begins from nothing, and however far it gets: what it was last told to have saved is there,
// what was there before it stays, and what is its own does not become more and more.
func TestAJobThatBeginsFromNothingFillsNoDisk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		k := contract.Keeping{Checkpoint: functions.Checkpoint{Resume: functions.ResumeNever, Keep: rapid.IntRange(1, 3).Draw(t, "keep"), URI: "file:///mnt/run"}, Submitted: now}
		there := map[int64]contract.Checkpoint{}
		write := func(step int64) {
			now = now.Add(time.Second)
			there[step] = contract.Checkpoint{Name: fmt.Sprintf("step-%d", step), Step: step, Committed: true, At: now}
		}
		clear := func() {
			for _, name := range k.Surplus(slices.Collect(maps.Values(there))) {
				maps.DeleteFunc(there, func(_ int64, c contract.Checkpoint) bool { return c.Name == name })
			}
			if _, is := there[k.Saved.Step]; !is {
				t.Fatalf("step %d was saved and is gone", k.Saved.Step)
			}
		}
		now = now.Add(-time.Hour)
		foreign := rapid.SliceOfNDistinct(rapid.Int64Range(1, 100), 0, 5, rapid.ID).Draw(t, "foreign")
		for _, step := range foreign {
			write(2*step + 1)
		}
		now = k.Submitted
		for range rapid.IntRange(1, 8).Draw(t, "attempts") {
			k.AtWork = true
			for step := range rapid.Int64Range(1, 20).Draw(t, "commits") {
				step = 10 * (step + 1)
				write(step)
				k.Saved = job.Saved{Path: fmt.Sprintf("/mnt/run/step-%d", step), Step: step}
				clear()
			}
			k.AtWork = false
			clear()
			if own := len(there) - len(foreign); own > k.Keep {
				t.Fatalf("%d of its own are there, %d are to be kept", own, k.Keep)
			}
		}
		for _, step := range foreign {
			if _, is := there[2*step+1]; !is {
				t.Fatalf("step %d was there before the job and is gone", 2*step+1)
			}
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
