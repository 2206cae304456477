package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/certtest"
	"stoker.dev/stoker/deploy"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/e2e/kubetest"
	"stoker.dev/stoker/events"
)

// exampleImage is what deploy/examples/tinylm.yaml runs on a cluster.
const exampleImage = "registry.example/tinylm:1"

// TestKubernetesExample deploys the example that runs on both: its file as it is, with the model of this repository
// behind its image.
func TestKubernetesExample(t *testing.T) {
	t.Parallel()
	tinylm, checkpoint := harness.Bin(t, harness.TinyLM), t.TempDir()
	out, err := exec.CommandContext(t.Context(), tinylm, "train", "--steps", "20", "--out", checkpoint).CombinedOutput()
	if err != nil {
		t.Fatalf("train: %v\n%s", err, out)
	}
	c := newCluster(t, -1) // its first node has no GPU
	c.images[exampleImage] = kubetest.Image{Entrypoint: []string{tinylm, "serve", "--checkpoint", checkpoint}}
	c.hostNode(t, "with-example", 1)
	p := c.platform(t, harness.Options{})
	p.Start()
	stoker(t, p, "apply", "-f", filepath.Join(repoRoot, "deploy", "examples", "tinylm.yaml"))
	answer := stoker(t, p, "invoke", "tinylm", "--data", `{"prompt":"The ship"}`)
	var body struct{ Choices []struct{ Text string } }
	if err := json.Unmarshal([]byte(answer), &body); err != nil || len(body.Choices) != 1 || body.Choices[0].Text == "" {
		t.Errorf("the model answered %s (%v)", answer, err)
	}
	pods := c.pods(t)
	if len(pods) != 1 || pods[0].Spec.Containers[0].Image != exampleImage {
		t.Errorf("Pods: %v", names(pods))
	}
	if err := p.API.Delete(t.Context(), harness.Key("tinylm")); err != nil {
		t.Fatal(err)
	}
	p.AwaitGone("tinylm")
	c.awaitClean(t)
}

// TestKubernetesBrokerElsewhere runs Pods that reach the broker by TLS, at an address that is theirs alone.
func TestKubernetesBrokerElsewhere(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	way := newWire(t)
	pair := certtest.New(t, doorName)
	p := c.platform(t, harness.Options{Args: []string{
		"--nats-listen", "0.0.0.0", "--tls-cert", pair.CertFile, "--tls-key", pair.KeyFile, "--agent-nats-url", "tls://" + way.at(),
	}})
	alice := strings.TrimSpace(stoker(t, p, "user", "add", "alice", "--role", "caller", "--in", "default"))
	p.Start()
	way.aim(t, p.Server.NATS)
	f := p.Function("guarded")
	f.Spec.Scaling.KeepAlive = "10m"
	p.Apply(f)
	answered(t, p, pair.CertFile, alice)
	way.cut()
	p.Await("guarded", "out of reach", func(f api.Function) bool { return f.Silent == 1 })
	way.mend()
	answered(t, p, pair.CertFile, alice)
	p.Await("guarded", "back", func(f api.Function) bool { return f.Ready == 1 && f.Failure == nil })
}

// TestKubernetesFilesFit holds what deploy/kubernetes shows to what the programs do.
func TestKubernetesFilesFit(t *testing.T) {
	docker := readRepoFile(t, "deploy/kubernetes/Dockerfile")
	contains(t, "the Dockerfile", docker, "CGO_ENABLED=0", "./cmd/stoker-agent", `ENTRYPOINT ["/stoker-agent"]`, "USER 65532:65532")
	static := filepath.Join(t.TempDir(), "stoker-agent")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", static, "./cmd/stoker-agent") // the Dockerfile's own line
	contains(t, "the Dockerfile", docker, `go build -trimpath -ldflags="-s -w" -o /stoker-agent ./cmd/stoker-agent`)
	cmd.Dir, cmd.Env = repoRoot, append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), "ldd", static).CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("not a dynamic executable")) {
		t.Errorf("in an image from scratch it would need %s (%v)", out, err)
	}
	if strings.Contains(string(deploy.RBAC), `"*"`) {
		t.Error("deploy/kubernetes/rbac.yaml allows everything of something")
	}
	contains(t, "README.md", readRepoFile(t, "README.md"), "deploy/kubernetes/rbac.yaml", "deploy/kubernetes/Dockerfile", fmt.Sprint(events.AgentPort))
}
