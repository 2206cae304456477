package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"stoker.dev/stoker/cmd/tinylm/checkpoint"
	"stoker.dev/stoker/cmd/tinylm/model"
	"stoker.dev/stoker/cmd/tinylm/openai"
)

const (
	defaultPort = "8000"
	// headerTimeout ends connections that never send a request.
	headerTimeout = 5 * time.Second
	// bodyTimeout ends requests that trickle in; a body is 1 MiB at most.
	bodyTimeout = 30 * time.Second
	// idleTimeout is above the 90 s after which Go's own client drops an idle
	// connection, so that the server is never the one to close it under a request.
	idleTimeout = 2 * time.Minute
)

type serveFlags struct {
	checkpoint, host, port, model string
	slots, queue                  int
	pace                          float64
	grace                         time.Duration
}

func serveCommand(getenv func(string) string) *cobra.Command {
	f := serveFlags{}
	cmd := &cobra.Command{
		Use:   "serve --checkpoint DIR",
		Short: "Serve a checkpoint over OpenAI's HTTP API",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	port := getenv("PORT")
	if port == "" {
		port = defaultPort
	}
	flags := cmd.Flags()
	flags.StringVar(&f.checkpoint, "checkpoint", getenv("CHECKPOINT_DIR"),
		"checkpoint, or directory with checkpoints to take the newest of (CHECKPOINT_DIR)")
	flags.StringVar(&f.host, "host", "127.0.0.1", "address to listen on")
	flags.StringVar(&f.port, "port", port, "port to listen on, 0 for any free one (PORT)")
	flags.StringVar(&f.model, "model", "tinylm", "name of the model in the API")
	flags.IntVar(&f.slots, "slots", openai.DefaultSlots, "requests that generate at once")
	flags.IntVar(&f.queue, "queue", openai.DefaultQueue, "requests that wait for a slot before others get 429")
	flags.Float64Var(&f.pace, "tokens-per-second", 0, "slow each answer down to this pace (0: as fast as it goes)")
	flags.DurationVar(&f.grace, "grace", 25*time.Second, "time that requests under way get to finish on SIGTERM")
	return cmd
}

func (f serveFlags) validate() error {
	port, err := strconv.Atoi(f.port)
	switch {
	case f.checkpoint == "":
		return usagef("--checkpoint is missing (or CHECKPOINT_DIR)")
	case err != nil || port < 0 || port > 65535:
		return usagef("--port is %q, allowed is 0 to 65535", f.port)
	case f.slots < 1:
		return usagef("--slots is %d, allowed is 1 and more", f.slots)
	case f.queue < 0:
		return usagef("--queue is %d, allowed is 0 and more", f.queue)
	case f.pace < 0 || f.pace > 1e6:
		return usagef("--tokens-per-second is %g, allowed is 0 to 1000000", f.pace)
	case f.grace < 0:
		return usagef("--grace is %s, allowed is 0s and more", f.grace)
	}
	return nil
}

func (f serveFlags) options() openai.Options {
	opts := openai.Options{Model: f.model, Slots: f.slots, Queue: f.queue, ChatPrompt: chatPrompt}
	if f.queue == 0 {
		opts.Queue = -1 // none, where 0 would mean the default
	}
	return opts
}

// chatPrompt words a question as the training text does.
func chatPrompt(message string) string { return "user: " + message + "\nstoker: " }

// serve listens at once, so that /health can say "loading", loads the model beside
// it, and drains when ctx is done.
func serve(ctx context.Context, f serveFlags, stdout, stderr io.Writer) error {
	if err := f.validate(); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(f.host, f.port))
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	fmt.Fprintf(stdout, "listening url=http://%s\n", listener.Addr())

	// Requests outlive ctx: it only starts the drain. abandon ends them after the grace.
	requests, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	api := openai.New(f.options())
	server := &http.Server{
		Handler: api.Handler(), ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, IdleTimeout: idleTimeout,
		BaseContext: func(net.Listener) context.Context { return requests },
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	group.Go(func() error { return load(f, api, stdout) })
	group.Go(func() error {
		<-ctx.Done()
		fmt.Fprintf(stderr, "draining grace=%s\n", f.grace)
		api.Drain()
		return drain(server, f.grace, abandon)
	})
	return group.Wait()
}

func load(f serveFlags, api *openai.Server, stdout io.Writer) error {
	started := time.Now()
	c, err := checkpoint.Open(f.checkpoint)
	if err != nil {
		return fmt.Errorf("--checkpoint: %w", err)
	}
	generator, err := model.LoadGenerator(c.Dir)
	if err != nil {
		return fmt.Errorf("--checkpoint: %w", err)
	}
	api.SetEngine(engine{generator: generator, pace: f.pace})
	fmt.Fprintf(stdout, "ready model=%s step=%d checkpoint=%s seconds=%.3f\n",
		f.model, generator.Step(), c.Dir, time.Since(started).Seconds())
	return nil
}

// drain lets requests finish within grace and abandons the rest. Abandoned
// requests are not an error: their callers see the connection end.
func drain(server *http.Server, grace time.Duration, abandon func()) error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	err := server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		abandon()
		return server.Close()
	}
	return err
}
