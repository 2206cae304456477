package kubetest_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stoker.dev/stoker/e2e/kubetest"
)

// bystander, in the environment, makes this test the process that is killed: it names a file to be written once a
// cluster and a Pod on a host node run.
const bystander = "KUBETEST_BYSTANDER"

func TestKillingTheTestLeavesNothing(t *testing.T) {
	if told := os.Getenv(bystander); told != "" {
		standBy(t, told)
		return
	}
	kubetest.Binary(t)
	dir := t.TempDir()
	told := filepath.Join(dir, "ready")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), bystander+"="+told, "TMPDIR="+dir)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kubetest.Eventually(t, "the other process has a cluster and a Pod", func(context.Context) (bool, any) {
		_, err := os.Stat(told)
		return err == nil, err
	})
	// Five programs of the cluster, and for each of the Pod's two containers the shim, the command and its child.
	if n := len(processes(t, dir)); n < 11 {
		t.Fatalf("%d processes know %s, want at least 11: their end could not be seen", n, dir)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	kubetest.Eventually(t, "its processes are gone", func(context.Context) (bool, any) {
		left := processes(t, dir)
		return len(left) == 0, left
	})
}

func standBy(t *testing.T, told string) {
	c, node := hostCluster(t)
	pod := hostPod("left", t.TempDir())
	if _, err := c.Client().CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	node.PID(t, "default", "left", "main")
	waitPod(t, c, "left", "is ready", ready)
	if err := os.WriteFile(told, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	<-t.Context().Done()
}
