package harness

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// markVar is in the environment of every model server the harness deploys, and names the data directory.
const markVar = "E2E_DATA"

// agentVar is in the environment of every agent and names a file below the data directory.
const agentVar = "STOKER_AGENT_CONFIG"

// nodesOwn is the process that a host node has beside each container's; it goes by itself.
const nodesOwn = "shim"

// Process is one process of a platform's replicas.
type Process struct {
	PID     int
	Name    string // file name of the program
	Replica string // ID
}

func (p Process) String() string { return fmt.Sprintf("%s (pid %d of %s)", p.Name, p.PID, p.Replica) }

// Processes lists what runs of the platform's replicas: agents, model servers and what those started.
func (p *Platform) Processes() []Process {
	var out []Process
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		p.t.Error(err)
	}
	for _, path := range environs {
		env, err := os.ReadFile(path)
		if err != nil || !p.marked(env) {
			continue // gone, or somebody else's
		}
		dir := filepath.Dir(path)
		pid, err := strconv.Atoi(filepath.Base(dir))
		exe, _ := os.Readlink(filepath.Join(dir, "exe"))
		if name := filepath.Base(exe); err == nil && exe != "" && name != nodesOwn {
			out = append(out, Process{PID: pid, Name: name, Replica: p.replicaOf(env)})
		}
	}
	return out
}

// Running lists the processes of one program.
func (p *Platform) Running(name string) []Process {
	var out []Process
	for _, x := range p.Processes() {
		if x.Name == name {
			out = append(out, x)
		}
	}
	return out
}

func (p *Platform) marked(env []byte) bool {
	agents := p.Dir
	if p.o.Pods != nil {
		agents = p.o.Pods.Files
	}
	return variable(env, markVar) == p.Dir || strings.HasPrefix(variable(env, agentVar), agents+"/")
}

// replicaOf is the ID in a process's environment; to an agent in a Pod it is the host's name.
func (p *Platform) replicaOf(env []byte) string {
	if id := variable(env, "STOKER_REPLICA_ID"); id != "" || p.o.Pods == nil {
		return id
	}
	return variable(env, "HOSTNAME")
}

func variable(env []byte, name string) string {
	for kv := range bytes.SplitSeq(env, []byte{0}) {
		if v, ok := bytes.CutPrefix(kv, []byte(name+"=")); ok {
			return string(v)
		}
	}
	return ""
}

// Signal sends a signal to a process of the platform; one that is gone meanwhile is fine.
func Signal(t testing.TB, pid int, sig unix.Signal) {
	t.Helper()
	if pid <= 0 {
		t.Fatalf("signal %d to pid %d, which is no process but a group of them, this test's own perhaps", sig, pid)
	}
	if err := unix.Kill(pid, sig); err != nil && err != unix.ESRCH {
		t.Errorf("signal %d to pid %d: %v", sig, pid, err)
	}
}

// sweep kills what is left when a test ends.
func (p *Platform) sweep() {
	for range 10 { // a dying tree may still fork
		left := p.Processes()
		if len(left) == 0 {
			return
		}
		for _, x := range left {
			_ = unix.Kill(x.PID, unix.SIGKILL)
		}
	}
}
