package kubetest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// shimOnce builds e2e/kubetest/shim once per test process; the go command skips what is up to date.
var shimOnce = sync.OnceValues(buildShim)

func buildShim() (string, error) {
	root, err := repository()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, keptLogs)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()                                               // and unlocked
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil { // other test processes build it too
		return "", err
	}
	path := filepath.Join(dir, "shim")
	cmd := exec.Command("go", "build", "-o", path, "./e2e/kubetest/shim") //nolint:noctx // 2026-11-27: for all tests, so it ends with none
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the shim: %w\n%s", err, out)
	}
	return path, nil
}

// instance is one run of a container's command.
type instance struct {
	shim    *exec.Cmd
	life    io.WriteCloser // its closing kills everything
	pid     int            // the command's
	started time.Time
	ended   chan struct{} // closed when nothing of it runs any more; what follows is set before
	code    int
	stopped time.Time
}

// startInstance starts a command under a shim, with its output added to the file log. An error means that it did not
// start, and nothing runs.
func startInstance(shim string, argv, env []string, dir, log string) (*instance, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	report, reported, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer report.Close()
	cmd := exec.Command(shim, argv...) //nolint:noctx // 2026-11-27: ended through its standard input
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = env, dir, out, out
	cmd.ExtraFiles = []*os.File{reported}
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	life, err := cmd.StdinPipe()
	if err != nil {
		return nil, errors.Join(err, reported.Close())
	}
	err = cmd.Start()
	reported.Close() // the shim has its own
	if err != nil {
		return nil, err
	}
	i := &instance{shim: cmd, life: life, started: time.Now(), ended: make(chan struct{})}
	line, err := bufio.NewReader(report).ReadString('\n') // ends with the shim at the latest
	if err == nil {
		i.pid, err = strconv.Atoi(strings.TrimSpace(line))
	}
	if err != nil {
		_ = cmd.Wait()
		return nil, fmt.Errorf("start %q: it did not run: %s", argv, lastLines(log, 1))
	}
	go i.reap()
	return i, nil
}

func (i *instance) reap() {
	_ = i.shim.Wait() // its state says it all
	i.code, i.stopped = i.shim.ProcessState.ExitCode(), time.Now()
	close(i.ended)
}

// terminate asks the command to end, as the kubelet does.
func (i *instance) terminate() { _ = i.shim.Process.Signal(unix.SIGTERM) }

// kill ends the command and everything it started.
func (i *instance) kill() { _ = i.life.Close() }

func (i *instance) running() bool {
	select {
	case <-i.ended:
		return false
	default:
		return true
	}
}
