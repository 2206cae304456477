// Command cluster runs Kubernetes on this machine, with simulated nodes, until it is interrupted, and leaves nothing.
// It is `go tool task cluster`; package kubetest says what such a cluster is and what not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"stoker.dev/stoker/e2e/kubetest"
)

// maxNodes is where one machine's kwok still renews every node's lease in time.
const maxNodes = 1000

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// run keeps a cluster until ctx ends. Once its nodes are ready it prints one line that a shell can take.
func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	nodes := flags.Int("nodes", 1, "simulated nodes")
	gpus := flags.Int("gpus", 8, "GPUs of each")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *nodes < 0 || *nodes > maxNodes || *gpus < 1 || flags.NArg() > 0 {
		return fmt.Errorf("--nodes %d --gpus %d %q: allowed: 0 to %d nodes, 1 or more GPUs, and nothing else", *nodes, *gpus, flags.Args(), maxNodes)
	}
	dir, err := os.MkdirTemp("", "kubetest-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c, err := kubetest.Launch(ctx, dir)
	if errors.Is(err, kubetest.ErrMissing) {
		return fmt.Errorf("%w; `go tool task simcluster` builds it", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if *nodes > 0 {
		if _, err := c.Grow(ctx, kubetest.NodeSpec{Count: *nodes, GPUs: *gpus}); err != nil {
			return err
		}
	}
	fmt.Fprintln(out, "export KUBECONFIG="+c.Kubeconfig())
	<-ctx.Done()
	return nil
}
