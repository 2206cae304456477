// Command simulation writes docs/simulation.md: every recorded trace through stoker and every policy to compare with,
// and what each family of them would need at stoker's attainment had its constant been chosen with hindsight. The traces
// are not part of the repository; without them it says so and leaves the document alone.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	root := flag.String("root", ".", "the repository")
	traces := flag.String("traces", "../shared/traces", "folder of the recorded traces")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *root, *traces); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "simulation:", err)
		os.Exit(1)
	}
}

// run studies all traces before it writes anything.
func run(ctx context.Context, root, traces string) error {
	var studies []study
	for _, name := range traceNames {
		fmt.Fprintln(os.Stderr, "simulation:", name)
		s, err := studyTrace(ctx, root, traces, name)
		if err != nil {
			return err
		}
		studies = append(studies, s)
	}
	source, err := fingerprint(root)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, documentPath), []byte(document(studies, source)), 0o644) //nolint:gosec // a document of the repository
}
