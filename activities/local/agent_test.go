package local

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stoker.dev/stoker/events"
)

// TestMain makes the test binary the agent of its own replicas: started with the agent's
// variable it behaves like one, as far as the provider can tell, but needs no broker.
func TestMain(m *testing.M) {
	if path := os.Getenv(ConfigVar); path != "" {
		os.Exit(testAgent(path))
	}
	if os.Getenv(headlessVar) != "" {
		os.Exit(headless())
	}
	if dir := os.Getenv(platformVar); dir != "" {
		os.Exit(testPlatform(dir))
	}
	os.Exit(m.Run())
}

// deafAgent makes the test agent ignore being asked to go.
const deafAgent = "TEST_AGENT_DEAF"

func testAgent(path string) int {
	var cfg events.AgentConfig
	if err := readJSON(path, &cfg); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cmd, err := startServer(cfg)
	if err != nil {
		return tell(cfg, events.PhaseExited, events.CauseSpawnFailed, 1)
	}
	tell(cfg, events.PhaseReady, "", 0)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // what it says is in cmd.ProcessState
	}()
	for {
		select {
		case <-ended:
			return tell(cfg, events.PhaseExited, events.CauseCrashed, cmd.ProcessState.ExitCode())
		case <-asked:
			if hasEnv(cfg, deafAgent) {
				continue
			}
			_ = cmd.Process.Kill() // it has exited already: as good
			<-ended
			return tell(cfg, events.PhaseExited, events.CauseDrained, 0)
		}
	}
}

// startServer runs the model server as the agent does: it dies with the agent's thread.
func startServer(cfg events.AgentConfig) (*exec.Cmd, error) {
	log, err := os.OpenFile(cfg.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	runtime.LockOSThread() // never unlocked: Pdeathsig is about the thread
	cmd := exec.Command(cfg.Command[0], cfg.Command[1:]...)
	cmd.Dir = cfg.WorkingDir
	cmd.Env = append(os.Environ(), cfg.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, cmd.Start()
}

func hasEnv(cfg events.AgentConfig, name string) bool {
	for _, v := range cfg.Spec.Runtime.Env {
		if v.Name == name {
			return true
		}
	}
	return false
}

// tell leaves a status behind, whole or not at all, and returns the agent's exit code.
func tell(cfg events.AgentConfig, p events.Phase, cause string, code int) int {
	data, err := json.Marshal(events.Heartbeat{
		Replica: cfg.Replica, Revision: cfg.Revision, Phase: p, Cause: cause, ExitCode: code, PID: os.Getpid(), At: time.Now(),
	})
	tmp := filepath.Join(filepath.Dir(cfg.StatusFile), ".status")
	if err == nil {
		err = os.WriteFile(tmp, data, 0o600)
	}
	if err == nil {
		err = os.Rename(tmp, cfg.StatusFile)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
