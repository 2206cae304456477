package harness

import (
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"stoker.dev/stoker/cmd/stoker/datadir"
)

// External is an operator's own NATS or Temporal server, or both, as a process that can go away and come back at
// the same address with the same data.
type External struct {
	NATS     string // URL with the token in it
	Temporal string // host:port
	Keys     datadir.TemporalKeys

	t     testing.TB
	args  []string
	cmd   *exec.Cmd
	stdin io.Closer
}

// StartServers starts both servers, or the one that only names (nats or temporal).
func StartServers(t testing.TB, token, only string) *External {
	t.Helper()
	x := &External{t: t, args: []string{"-dir", t.TempDir(), "-token", token, "-only", only, "-ports", freePorts(t, 5)}}
	t.Cleanup(x.end)
	x.Start()
	return x
}

// Start starts the process, for the first time or again, and waits until its servers answer.
func (x *External) Start() {
	x.t.Helper()
	x.cmd = exec.Command(Bin(x.t, Servers), x.args...) //nolint:noctx // 2026-11-27: ends with its standard input
	var err error
	if x.stdin, err = x.cmd.StdinPipe(); err != nil {
		x.t.Fatal(err)
	}
	stdout, err := x.cmd.StdoutPipe()
	if err != nil {
		x.t.Fatal(err)
	}
	if err := x.cmd.Start(); err != nil {
		x.t.Fatal(err)
	}
	var at struct {
		NATS, Temporal string
		Keys           datadir.TemporalKeys
	}
	if err := json.NewDecoder(stdout).Decode(&at); err != nil {
		x.t.Fatalf("the external servers: %v", err)
	}
	x.NATS, x.Temporal, x.Keys = at.NATS, at.Temporal, at.Keys
}

// TemporalEnv leads a platform to the Temporal server, by the variables that its own tools read.
func (x *External) TemporalEnv() []string {
	return []string{
		"STOKER_TEMPORAL_ADDRESS=" + x.Temporal, "TEMPORAL_TLS_SERVER_NAME=" + datadir.TemporalName, "TEMPORAL_TLS_SERVER_CA_CERT_PATH=" + x.Keys.CA,
		"TEMPORAL_TLS_CLIENT_CERT_PATH=" + x.Keys.Cert, "TEMPORAL_TLS_CLIENT_KEY_PATH=" + x.Keys.Key,
	}
}

// Kill9 takes the servers away as a crash does.
func (x *External) Kill9() {
	_ = x.cmd.Process.Kill()
	x.end()
}

// end waits for the process; one that has ended is fine.
func (x *External) end() {
	if x.cmd == nil || x.cmd.ProcessState != nil {
		return
	}
	_ = x.stdin.Close()
	_ = x.cmd.Wait()
}

// freePorts are ports nobody listens on, as one list. They are below those of outgoing connections: servers that are
// taken away come back to them.
func freePorts(t testing.TB, n int) string {
	t.Helper()
	var out []string
	for len(out) < n {
		port, err := datadir.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprint(port); !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return strings.Join(out, ",")
}
