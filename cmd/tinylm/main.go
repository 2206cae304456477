// Command tinylm trains and serves a character-level language model that is
// small enough to train in about 20 seconds on two cores. It is stoker's example
// of a model, and the workload of its end-to-end tests: really trained, really
// sampled, with nothing faked but its size.
//
//	tinylm train --out ./model            train on the built-in text, with checkpoints
//	tinylm train --out ./model --resume auto   go on from the newest checkpoint
//	tinylm serve --checkpoint ./model --port 8000
//	tinylm sample --checkpoint ./model --prompt 'The stoker'
//
// # Training
//
// Progress is a line per second (package progress); other lines begin with
// another word:
//
//	started step=0 steps=2800 vocab=53 uniform_loss=3.9703
//	progress step=112 steps=2800 loss=2.0193 percent=4.0 eta=19.2
//	saving step=500
//	committed step=500 path=/home/me/model/step-000000000500
//	done step=2800 steps=2800 loss_first=3.9712 loss_last=0.0691 seconds=20.3
//
// The loss is the training loss in nats per character; a model that knows nothing
// has the logarithm of the number of different characters. The model is small and
// its text is short, so it learns the text nearly by heart: the loss says that
// training works, not that the model is wise.
//
// Checkpoints are committed or ignored (package checkpoint). On SIGTERM or SIGINT, or
// when the file of --notice-file appears, training stops after the step, commits a
// checkpoint and exits 75, so that whoever stopped it starts it again with --resume auto
// and loses nothing; the resumed run repeats the loss curve of one that was never stopped.
//
// As the program of a training job (docs/training.md) it needs no flags: CHECKPOINT_DIR stands
// in for --out, RESUME_FROM for --resume, PREEMPT_FILE for --notice-file, and PROGRESS_FILE for
// --report-file, which takes the lines that begin with progress, saving and committed. It
// trains in one process, on one node.
//
// With --json standard output carries one JSON object at the end and the lines go
// to standard error.
//
// # Serving
//
// serve speaks OpenAI's HTTP API (package openai). A prompt to /v1/completions is
// continued as it is; the last user message of /v1/chat/completions is put as a
// question to the stoker. A token is a character. --port 0 or PORT=0 takes a free
// port; the first line of standard output says which:
//
//	listening url=http://127.0.0.1:8000
//
// /health answers 503 until the weights are loaded, then 200. SIGTERM drains: new
// requests are refused, those under way get --grace to finish, then exit 0.
//
// --tokens-per-second slows each answer down to the pace of a large model, for
// demonstrations and tests of scaling.
//
// # Exit codes
//
//	0   done
//	1   failed: disk, network, a damaged checkpoint; trying again may help
//	75  train was told to stop and has committed a checkpoint; start it again with --resume auto
//	76  train was told to stop and could not commit a checkpoint
//	78  the command line is wrong, or the checkpoint does not fit it; trying again does not help
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/tinylm/checkpoint"
	"stoker.dev/stoker/cmd/tinylm/model"
	"stoker.dev/stoker/functions"
)

// Exit codes, as in the command's documentation, and as a training job's program has them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitInterrupted = functions.ExitSaved
	exitNoCommit    = functions.ExitUnsaved
	exitUsage       = functions.ExitBadConfig
)

var (
	errUsage       = errors.New("usage")
	errInterrupted = errors.New("stopped as told, checkpoint committed")
	errNoCommit    = errors.New("stopped as told, no checkpoint could be committed")
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	// After the first signal the default returns: a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, os.Getenv))
}

// run is main without the process: ctx is done when the process is told to stop.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, getenv func(string) string) int {
	root := &cobra.Command{
		Use:           "tinylm",
		Short:         "Train and serve a tiny character-level language model",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(trainCommand(getenv), serveCommand(getenv), sampleCommand())
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(stderr, "tinylm:", err)
		if hint := hintFor(err); hint != "" {
			fmt.Fprintln(stderr, "hint:", hint)
		}
	}
	return exitCode(err)
}

func exitCode(err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errNoCommit):
		return exitNoCommit
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	case errors.Is(err, errUsage), errors.Is(err, model.ErrConfig), errors.Is(err, model.ErrCorpus), errors.Is(err, model.ErrFormat):
		return exitUsage
	}
	return exitFailed
}

// hintFor says what to type next.
func hintFor(err error) string {
	switch {
	case errors.Is(err, errInterrupted):
		return "run it again with --resume auto to go on"
	case errors.Is(err, checkpoint.ErrNone):
		return "make one with: tinylm train --out DIR"
	case errors.Is(err, checkpoint.ErrNotCommitted):
		return "name the directory above it to take the newest committed checkpoint"
	case errors.Is(err, checkpoint.ErrDamaged):
		return "remove it, or name another checkpoint"
	case errors.Is(err, model.ErrCorpus):
		return "give the text that the checkpoint was trained on with --text, or train from the start into another --out"
	case errors.Is(err, syscall.EADDRINUSE):
		return "another process has the port; choose one with --port, or --port 0 for any"
	case errors.Is(err, errUsage):
		return "see tinylm --help"
	}
	return ""
}

func usagef(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errUsage, fmt.Errorf(format, args...))
}

// noArgs refuses positional arguments with exit code 2.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument %q", args[0])
	}
	return nil
}
