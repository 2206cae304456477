// Command testreport reads the events that `go test -json` left behind, prints how many tests each folder passed,
// every skip with its reason, and fails when anything failed, a skip has no reason, or a suite ran nothing.
//
// With -complete, every package of the module that has test files must have passed at least one test, and no test may
// have been skipped for want of something that one of the project's verbs builds: a suite that silently stopped running
// is a failure. With -installed, neither may one have been skipped for want of what CI installs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
)

// modulePath is cut off package names, to keep the report short.
const modulePath = "stoker.dev/stoker/"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("testreport", flag.ContinueOnError)
	complete := flags.Bool("complete", false, "every package with test files must have passed a test, and none was skipped for want of a verb")
	installed := flags.Bool("installed", false, "no test was skipped for want of what CI installs")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("name at least one file written by go test -json")
	}
	r := newReport()
	for _, name := range flags.Args() {
		if err := r.readFile(name); err != nil {
			return err
		}
	}
	var want []string
	if *complete {
		var err error
		if want, err = packagesWithTests(ctx); err != nil {
			return err
		}
	}
	problems := r.problems(want)
	if *installed {
		problems = append(problems, r.skippedFor(ciInstalls, "what CI installs")...)
	}
	r.print(out, problems)
	if len(problems) > 0 {
		return errors.New("the run is not good; what is wrong stands above the counts")
	}
	return nil
}

func (r *report) readFile(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("the tests left no events: %w", err)
	}
	defer file.Close() // only read
	if err := r.read(file); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// packagesWithTests lists the packages of the module, in the current directory, that have test files.
func packagesWithTests(ctx context.Context) ([]string, error) {
	const format = `{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}`
	cmd := exec.CommandContext(ctx, "go", "list", "-f", format, "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the packages that have tests: %w", err)
	}
	return strings.Fields(string(out)), nil
}
