// Command buildbinary builds the simulated cluster's binary into the user's cache directory, unless it is there.
// It is `go tool task simcluster`.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"stoker.dev/stoker/e2e/kubetest/binary"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	_, err := binary.Build(ctx, ".", os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "buildbinary:", err)
		os.Exit(1)
	}
}
