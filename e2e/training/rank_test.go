package training

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/job/contract"
)

// rank is one process tree of a gang.
type rank struct {
	t      *testing.T
	place  contract.Place
	cmd    *exec.Cmd
	output output
	done   chan struct{} // closed when the main process has ended
	ended  time.Time     // after done
	asked  bool          // the test's signal is on its way
}

// output is the last of what a rank prints.
type output struct {
	mu   sync.Mutex
	last []byte
}

// maxOutput is how much of it is kept, as an agent keeps the last lines.
const maxOutput = 16 << 10

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = append(o.last, p...)
	if over := len(o.last) - maxOutput; over > 0 {
		o.last = append([]byte(nil), o.last[over:]...)
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.last)
}

// startRank starts a rank's main process as the leader of a process group, which is what is left of the tree
// when the rank is killed.
func startRank(j *trainingJob, p contract.Place, args []string) *rank {
	j.t.Helper()
	if err := os.Mkdir(p.Dir, 0o755); err != nil {
		j.t.Fatal(err)
	}
	vars, err := contract.Environment(p)
	if err != nil {
		j.t.Fatal(err)
	}
	r := &rank{t: j.t, place: p, done: make(chan struct{})}
	r.cmd = exec.Command(j.command[0], append(j.command[1:len(j.command):len(j.command)], args...)...)
	r.cmd.Env = append(os.Environ(), j.env...)
	for _, v := range vars {
		r.cmd.Env = append(r.cmd.Env, v.Name+"="+v.Value)
	}
	r.cmd.Stdout, r.cmd.Stderr = &r.output, &r.output
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r.cmd.WaitDelay = time.Second // for what children still print who hold its output open
	if err := r.cmd.Start(); err != nil {
		j.t.Fatal(err)
	}
	go func() {
		defer close(r.done)
		_ = r.cmd.Wait() // how it ended is in the process's state
		r.ended = time.Now()
	}()
	j.t.Cleanup(func() {
		r.killTree()
		<-r.done
	})
	return r
}

// file is the content of a file of the rank's own, empty if there is none yet.
func (r *rank) file(name string) []byte {
	r.t.Helper()
	data, err := os.ReadFile(filepath.Join(r.place.Dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	return data
}

// reports are what the rank has told so far. A last line without its end is still being written.
func (r *rank) reports() []contract.Report {
	r.t.Helper()
	var out []contract.Report
	for line := range bytes.Lines(r.file(contract.ProgressFile)) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		report, err := contract.ParseReport(string(line))
		if err != nil {
			r.t.Errorf("rank %d: %v", r.place.Rank, err)
			continue
		}
		out = append(out, report)
	}
	return out
}

// signal sends a signal to the rank's main process alone. One that is gone meanwhile is fine.
func (r *rank) signal(s syscall.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		r.t.Fatal(err)
	}
}

// killTree kills every process of the rank.
func (r *rank) killTree() {
	if err := syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		r.t.Error(err)
	}
}

// evidence is what an agent would tell of the rank's end.
func (r *rank) evidence() job.Evidence {
	r.t.Helper()
	e := job.Evidence{Rank: r.place.Rank, Ended: r.ended, Output: r.output.String()}
	status := r.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		e.Signal = int(status.Signal())
		if r.asked {
			e.Sender = job.SenderPlatform
		}
	} else {
		e.ExitCode = status.ExitStatus()
	}
	if data := r.file(contract.ErrorFile); len(data) > 0 {
		said, err := job.ParseProgramError(data)
		if err != nil {
			r.t.Errorf("rank %d: %v", r.place.Rank, err)
		} else {
			e.Error = &said
		}
	}
	return e
}
