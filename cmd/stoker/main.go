// Command stoker is the platform and its CLI in one binary: `stoker up` runs everything,
// the other verbs talk to it. `stoker help` lists them.
//
// Exit codes: 0 done; 1 it failed, and standard error says why and what to do; 2 the command
// line is wrong; 3 what was asked for does not exist; 4 the platform does not run; 5 the
// request ended without a result (error, expired or shed); 130 interrupted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"stoker.dev/stoker/cmd/stoker/access"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/bench"
	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/cmd/stoker/terminal"
	"stoker.dev/stoker/functions"
)

// Exit codes.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitNotRunning  = 4
	exitNoResult    = 5
	exitInterrupted = 130 // as shells count a process that ended by SIGINT
)

// exitCodes is what `stoker help` says of them.
const exitCodes = `Exit codes:
  0    done
  1    it failed; standard error says why and what to do
  2    the command line is wrong
  3    what was asked for does not exist
  4    the platform does not run
  5    the request or job ended without a result: error, expired, shed, failed or cancelled
  130  interrupted`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program, for main and for tests.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return execute(ctx, args, &streams{stdin, stdout, stderr, time.Now})
}

func execute(ctx context.Context, args []string, s *streams) int {
	root := newRoot(s)
	root.SetArgs(append([]string{}, args...)) // for nil, cobra takes the process's own
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted // the user knows why it ended
	}
	fmt.Fprintln(terminal.Safe(s.err), "stoker:", err) // it may repeat what others wrote
	return exitCode(err)
}

// usageError is a command line that is wrong.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// noResult is a request or job that ended without a result.
type noResult struct{ error }

func (e noResult) Unwrap() error { return e.error }

func exitCode(err error) int {
	var usage usageError
	var none noResult
	var remote *api.Error
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &none):
		return exitNoResult
	case errors.Is(err, bench.ErrSaved):
		return functions.ExitSaved
	case errors.Is(err, datadir.ErrNotRunning):
		return exitNotRunning
	case errors.As(err, &remote) && remote.Cause == "not-running":
		return exitNotRunning
	case errors.As(err, &remote) && remote.Code == 404, errors.Is(err, access.ErrNoUser):
		return exitNotFound
	}
	return exitFailed
}
