package main

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"stoker.dev/stoker/events"
)

// Exit codes, as documented above.
const (
	exitOK         = 0
	exitFailed     = 1
	exitConfig     = 2
	exitSpawn      = 3
	exitNeverReady = 4
	exitCrashed    = 5
	exitTreeAlive  = 6
)

// gcPercent lets the heap grow to five times what is in use before it is collected. In use are a
// few megabytes, and a busy agent makes as much garbage in some 20 ms: at Go's own 100 it would
// collect fifty times a second. GOGC overrides it.
const gcPercent = 400

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("stoker-agent", flag.ContinueOnError)
	flags.SetOutput(stderr)
	version := flags.Bool("version", false, "print the version and exit")
	copyTo := flags.String("install", "", "copy this program to a path and exit")
	if err := flags.Parse(args); err != nil {
		return exitConfig
	}
	if *version {
		fmt.Fprintln(stdout, "stoker-agent", buildVersion())
		return exitOK
	}
	if *copyTo != "" {
		if err := install(*copyTo); err != nil {
			fmt.Fprintln(stderr, "stoker-agent:", err)
			return exitFailed
		}
		return exitOK
	}
	c, err := takeConfig()
	if err != nil {
		fmt.Fprintln(stderr, "stoker-agent:", err)
		return exitConfig
	}
	// Whoever reads our output may be gone: a platform that died must not take us along.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	log := slog.New(slog.NewTextHandler(stderr, nil)).With("replica", c.Replica)
	return start(c, stop, log, stderr)
}

func start(c events.AgentConfig, stop <-chan os.Signal, log *slog.Logger, stderr io.Writer) int {
	a, err := newAgent(c, log)
	if err != nil {
		fmt.Fprintln(stderr, "stoker-agent:", err)
		return exitFailed
	}
	return a.run(stop)
}

// buildVersion is the module's version, or the commit it was built from.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version + " " + info.GoVersion
}
