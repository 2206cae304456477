package kubetest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// process is one running program with its log.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed once the process is reaped
	mu    sync.Mutex
	asked bool // somebody here has ended it
}

// forks runs the functions that start processes, all on one thread that never ends: a child that is to die with its
// parent (PR_SET_PDEATHSIG) dies when the thread ends that forked it, and Go's threads come and go.
var forks = sync.OnceValue(func() chan<- func() {
	calls := make(chan func())
	go func() {
		runtime.LockOSThread()
		for call := range calls {
			call()
		}
	}()
	return calls
})

// startBound starts a program that the kernel kills when this process ends, however it ends. What the program prints
// is added to the file log.
func startBound(binary string, args []string, log string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()                    // the child has its own
	cmd := exec.Command(binary, args...) //nolint:noctx // 2026-11-27: it is ended in order, and with this process at the latest
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL, Setpgid: true} // a group: Ctrl-C is the test's alone
	started := make(chan error)
	forks() <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // its state says it all
	}()
	return p, nil
}

// signal sends a signal; one to a process that is gone meanwhile is fine.
func (p *process) signal(sig unix.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s to %s (pid %d): %w", sig, p.cmd.Path, p.cmd.Process.Pid, err)
	}
	return nil
}

// kill ends the process as a crash would and returns once it is gone. A stopped process is killed as well.
func (p *process) kill() error {
	p.mu.Lock()
	p.asked = true
	p.mu.Unlock()
	if err := p.signal(unix.SIGKILL); err != nil {
		return err
	}
	<-p.ended // the kernel does not refuse SIGKILL
	return nil
}

// died tells how the process ended if nobody here ended it, else "".
func (p *process) died() string {
	select {
	case <-p.ended:
	default:
		return ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked {
		return ""
	}
	return p.cmd.ProcessState.String()
}
