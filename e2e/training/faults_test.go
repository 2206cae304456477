package training

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/job/contract"
)

// misfit is a job whose program does what it should not.
func misfit(t *testing.T, args ...string) *trainingJob {
	return newJob(t, functions.FrameworkCustom, append([]string{Build(t, "./e2e/training/misfit")}, args...)...)
}

func TestAProgramThatIgnoresSIGTERMIsKilledAfterItsGrace(t *testing.T) {
	j := misfit(t, "deaf")
	const grace = time.Second
	j.spec.Preemption.Grace = functions.Duration(grace)
	g := j.start(1)
	g.awaitStep(1)
	g.notify(job.CauseRecalled)
	g.want(job.ClassPreempted)
	if e := g.ranks[0].evidence(); e.Signal != int(unix.SIGKILL) || e.Ended.Before(g.askedAt.Add(grace)) {
		t.Errorf("it ended by signal %d, %s after the notice", e.Signal, e.Ended.Sub(g.askedAt))
	}
}

// Starting a finished job again costs a start; taking this one for finished would lose the rest of it.
func TestAProgramThatExitsWith0WithoutFinishingGoesOn(t *testing.T) {
	g := misfit(t, "quits").start(1)
	g.awaitStep(1)
	g.notify(job.CausePreempted)
	if v := g.want(job.ClassPreempted); g.codes()[0] != 0 || v.Action != job.ActionRequeue || v.Hint == "" {
		t.Errorf("exit code %d: %+v", g.codes()[0], v)
	}
}

// orphanLine is what the program that leaves processes behind says of each.
var orphanLine = regexp.MustCompile(`(?m)^left ([0-9]+)$`)

// A rank's own end is not the end of what it started: who frees its GPUs has to look at the whole tree.
func TestAProgramThatLeavesChildrenIsNotGoneWithItsMainProcess(t *testing.T) {
	g := misfit(t, "leaves", "2").start(1)
	g.want(job.ClassDone)
	found := orphanLine.FindAllStringSubmatch(g.ranks[0].output.String(), -1)
	if len(found) != 2 {
		t.Fatalf("it names %d children:\n%s", len(found), g.ranks[0].output.String())
	}
	main := g.ranks[0].cmd.Process.Pid
	for i, match := range found {
		pid, err := strconv.Atoi(match[1])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Kill(pid, unix.SIGKILL) })
		if !ignoresSIGTERM(t, pid) {
			t.Errorf("child %d would go if it was told to", pid)
		}
		group, err := unix.Getpgid(pid)
		if escaped := i%2 == 1; err != nil || (group != main) != escaped {
			t.Errorf("child %d is in group %d of the main process %d: %v", pid, group, main, err)
		}
	}
}

// ignored is the mask of the signals that a process ignores, signal 1 in the lowest bit.
var ignored = regexp.MustCompile(`(?m)^SigIgn:\s*([0-9a-f]+)$`)

func ignoresSIGTERM(t *testing.T, pid int) bool {
	t.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	match := ignored.FindSubmatch(status)
	if match == nil {
		t.Fatalf("no SigIgn in:\n%s", status)
	}
	mask, err := strconv.ParseUint(string(match[1]), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return mask&(1<<(unix.SIGTERM-1)) != 0
}

func TestAProgramThatPrintsWithoutEndIsReadWithoutKeepingIt(t *testing.T) {
	const bytes = 256 << 20
	g := misfit(t, "floods", strconv.Itoa(bytes)).start(1)
	g.want(job.ClassDone)
	if kept := len(g.ranks[0].output.String()); kept != maxOutput {
		t.Errorf("%d bytes of output are kept, want %d", kept, maxOutput)
	}
}

// Where there is no room for a checkpoint, that is what is to blame, and the one before still counts.
func TestAFullCheckpointDirectory(t *testing.T) {
	j := newJob(t, functions.FrameworkCustom, Python(t, "json"), Program(t, "train.py"))
	mountSmall(t, j.checkpoints)
	j.start(1, "1000").want(job.ClassDone)
	fill(t, filepath.Join(j.checkpoints, "filler"))
	if v := j.start(1, "2000").want(job.ClassStorage); v.Action != job.ActionRetry || v.Spends != job.SpendsInfra {
		t.Errorf("verdict %+v", v)
	}
	if got := j.newest().Step; got != 1000 {
		t.Errorf("the newest checkpoint holds step %d, want 1000", got)
	}
	if err := os.Remove(filepath.Join(j.checkpoints, "filler")); err != nil {
		t.Fatal(err)
	}
	again := j.start(1, "2000")
	again.want(job.ClassDone)
	checkExampleLosses(t, again)
}

// tinylm says itself that nothing could be saved.
func TestANoticeWithoutRoomForACheckpoint(t *testing.T) {
	j := tinylm(t, Build(t, "./cmd/tinylm"))
	mountSmall(t, j.checkpoints)
	g := j.start(1, "--checkpoint-every", "10000000") // none before the notice
	g.awaitStep(1)
	fill(t, filepath.Join(j.checkpoints, "filler"))
	g.notify(job.CausePreempted)
	g.want(job.ClassPreempted)
	if code := g.codes()[0]; code != functions.ExitUnsaved {
		t.Errorf("exit code %d, want %d", code, functions.ExitUnsaved)
	}
	if _, found := contract.Newest(j.list()); found {
		t.Errorf("a checkpoint on a disk without room: %+v", j.list())
	}
}

// mountSmall puts a disk of a megabyte in a directory's place. It skips the test where mounting is not permitted.
func mountSmall(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Mount("stoker-e2e", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("SKIP-COUNTED small disk: cannot mount a tmpfs here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// fill writes a file until nothing more fits on its disk.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		if _, err := f.Write(make([]byte, 4096)); errors.Is(err, syscall.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
