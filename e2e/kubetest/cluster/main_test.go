package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"stoker.dev/stoker/e2e/kubetest"
)

func TestTheClusterIsThereUntilItIsInterrupted(t *testing.T) {
	kubetest.Binary(t)
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	read, write := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"--nodes", "3", "--gpus", "2"}, write)
		ended <- errors.Join(err, write.CloseWithError(io.EOF))
	}()
	line, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		t.Fatalf("it printed %q and ended: %v", line, <-ended)
	}
	path, ok := strings.CutPrefix(strings.TrimSpace(line), "export KUBECONFIG=")
	if !ok {
		t.Fatalf("it printed %q, want what a shell can take", line)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(nodes.Items) != 3 {
		t.Fatalf("%d nodes (%v), want 3", len(nodes.Items), err)
	}
	if gpus := nodes.Items[0].Status.Allocatable[kubetest.GPUResource]; gpus.Value() != 2 {
		t.Errorf("%s GPUs on a node, want 2", gpus.String())
	}
	interrupt()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(tmp, "*")); err != nil || len(left) > 0 {
		t.Errorf("it left %q (%v)", left, err)
	}
	if _, err := client.Discovery().ServerVersion(); err == nil {
		t.Error("its API server still answers")
	}
}

func TestWhatTheClusterRefuses(t *testing.T) {
	for _, args := range [][]string{{"--nodes", "-1"}, {"--nodes", "5000"}, {"--gpus", "0"}, {"3"}} {
		if err := run(t.Context(), args, os.Stdout); err == nil || !strings.Contains(err.Error(), "allowed: ") {
			t.Errorf("%q: got %v, want it said what is allowed", args, err)
		}
	}
}
