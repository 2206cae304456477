package kubernetes

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"stoker.dev/stoker/activities"
	provider "stoker.dev/stoker/activities/kubernetes"
	"stoker.dev/stoker/activities/providertest"
	"stoker.dev/stoker/e2e/kubetest"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/events/eventstest"
	"stoker.dev/stoker/functions"
)

// TestConformance runs the suite of every provider with real agents and servers, on a node of this host.
func TestConformance(t *testing.T) {
	c := kubetest.Start(t, kubetest.Options{})
	_, _, url := eventstest.Start(t)
	c.AddClaim(t, "default", "shared")
	node := c.AddHostNode(t, kubetest.NodeSpec{Name: "host", GPUs: 64}, images(t))
	providertest.Run(t, func(t *testing.T) *providertest.Harness {
		o := provider.Options{Checkpoints: provider.Volume{Claim: "shared", Path: "/mnt/shared"}}
		p := open(t, c, o)
		return &providertest.Harness{
			Provider: p,
			Runtime:  behave,
			Rank: func(b providertest.Behaviour) functions.JobRuntime {
				return functions.JobRuntime{Image: shellImage, Command: []string{"/bin/sh", "-c"}, Args: []string{providertest.Script(b)}}
			},
			Checkpoints: "/mnt/shared/conformance",
			Agent:       events.AgentConfig{Stream: events.ShardStream(0), NATS: events.NATSAccess{URL: url}},
			Restart: func(t *testing.T) activities.Provider {
				if err := p.Close(); err != nil {
					t.Fatal(err)
				}
				p = open(t, c, o)
				return p
			},
			Processes: living,
			SetLost: func(lost bool) {
				if lost {
					node.Lose(t)
				} else {
					node.Return(t)
				}
			},
			Hold: func(string, string) {
				hold(t, c, node.Name, 1, shellImage)
				eventually(t, "the provider sees a foreign holder", func() bool { return foreign(t, p) == 1 })
			},
			Counted: true, LogsGo: true,
			Settled: func(t *testing.T) { settled(t, c) },
		}
	})
}

// images are what host nodes run.
func images(t testing.TB) map[string]kubetest.Image {
	t.Helper()
	agent := filepath.Join(t.TempDir(), "stoker-agent")
	if out, err := exec.Command("go", "build", "-o", agent, "stoker.dev/stoker/cmd/stoker-agent").CombinedOutput(); err != nil {
		t.Fatalf("build the agent: %v\n%s", err, out)
	}
	return map[string]kubetest.Image{
		agentImage: {Entrypoint: []string{agent}},
		shellImage: {Entrypoint: []string{"/bin/sh", "-c"}},
	}
}

// behave makes a real process of each behaviour.
func behave(b providertest.Behaviour) functions.Runtime { return shell(providertest.Script(b)) }

// living lists the processes that name a replica in their environment, as a Pod's do.
func living(t *testing.T, id string) []int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, dir := range all {
		env, _ := os.ReadFile(filepath.Join(dir, "environ")) // it may have ended since
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err == nil && bytes.Contains(env, []byte(id)) {
			out = append(out, pid)
		}
	}
	return out
}
