package training

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job/contract"
)

// patience bounds every wait, against a hang alone: a slow machine with other tests beside these is fine.
const patience = 5 * time.Minute

// trainingJob is a job over all its attempts.
type trainingJob struct {
	t           *testing.T
	spec        functions.JobSpec
	command     []string
	env         []string // beside the contract's
	checkpoints string
	attempts    int
}

// newJob is a job that runs a command in each rank.
func newJob(t *testing.T, framework functions.Framework, command ...string) *trainingJob {
	t.Helper()
	var manifest functions.TrainingJob
	manifest.Spec.Framework = framework
	manifest.Spec.Checkpoint.Resume = functions.ResumeAuto
	j := &trainingJob{t: t, spec: functions.DefaultJob(manifest).Spec, command: command, checkpoints: filepath.Join(t.TempDir(), "checkpoints")}
	j.spec.Preemption.Grace = functions.Duration(patience) // what ends by itself does; a test of the end sets its own
	if err := os.Mkdir(j.checkpoints, 0o755); err != nil {
		t.Fatal(err)
	}
	return j
}

// list reads the checkpoints that are there.
func (j *trainingJob) list() []contract.Checkpoint {
	j.t.Helper()
	var found []contract.Checkpoint
	for _, dir := range read(j.t, j.checkpoints) {
		var files []string
		if dir.IsDir() {
			for _, file := range read(j.t, filepath.Join(j.checkpoints, dir.Name())) {
				files = append(files, file.Name())
			}
		}
		if c, ok := contract.ReadCheckpoint(dir.Name(), files); ok {
			found = append(found, c)
		}
	}
	return found
}

func read(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// newest is the checkpoint that the next attempt would begin with.
func (j *trainingJob) newest() contract.Checkpoint {
	j.t.Helper()
	c, ok := contract.Newest(j.list())
	if !ok {
		j.t.Fatalf("no committed checkpoint among %+v", j.list())
	}
	return c
}

// place is what all ranks of the next attempt have in common.
func (j *trainingJob) place(nodes int) contract.Place {
	j.t.Helper()
	resume, err := contract.Resume(j.spec.Checkpoint.Resume, j.checkpoints, j.list())
	if err != nil {
		j.t.Fatal(err)
	}
	p := contract.Place{
		Job: functions.Key{Namespace: "research", Name: "gang"}, Spec: j.spec, Attempt: j.attempts, Generation: uint64(j.attempts),
		Port: freePort(j.t), CheckpointDir: j.checkpoints, ResumeFrom: resume,
	}
	for range nodes {
		p.Addresses = append(p.Addresses, "127.0.0.1")
	}
	return p
}

// start starts the next attempt, on so many nodes.
func (j *trainingJob) start(nodes int, args ...string) *gang {
	j.t.Helper()
	j.attempts++
	g := &gang{t: j.t, job: j}
	p := j.place(nodes)
	root := j.t.TempDir()
	for n := range nodes {
		p.Rank, p.Dir = n, filepath.Join(root, "rank-"+strconv.Itoa(n))
		g.ranks = append(g.ranks, startRank(j, p, args))
	}
	g.started = time.Now()
	return g
}

// freePort is a port that nobody listens on: the program's own rendezvous will.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
