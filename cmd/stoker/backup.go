package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/backup"
	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/events"
)

func (a *app) backupCommand() *cobra.Command {
	var out format
	var force bool
	c := &cobra.Command{
		Use:   "backup FILE|-",
		Short: "Keep everything that counts in one file, also while the platform runs",
		Long: `Write manifests, scaling state, the ledger, requests, records, keys and secrets of a data
directory into one file, while the platform runs or while it does not. Requests that were
accepted before are in it, waiting or with their record.

Not in it are Temporal's histories (workflows are rebuilt), what runs, and the streams of a
NATS server of your own. The file is a gzipped tar, as secret as the data directory.`,
		Example: "  stoker backup stoker.tar.gz\n  stoker backup - > stoker.tar.gz",
		Args:    exactly(1, "the FILE to write, or - for standard output"),
		RunE:    func(c *cobra.Command, args []string) error { return a.backup(c.Context(), args[0], force, out) },
	}
	c.Flags().BoolVar(&force, "force", false, "replace FILE where it exists")
	out.bind(c)
	return c
}

func (a *app) backup(ctx context.Context, file string, force bool, out format) (err error) {
	if file == "-" && out != "" {
		return usageError{errors.New("-o json and -o yaml write to standard output, where the backup goes: name a FILE")}
	}
	bus, done, err := a.streamsOf(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	source := backup.Source{
		Dir: a.config.DataDir, Users: a.config.UsersFile(), Bus: bus, Version: version(), Now: a.now(), Spool: filepath.Dir(file), Progress: a.progress("keeping"),
	}
	if file == "-" {
		source.Spool = os.TempDir()
		s, err := backup.Create(ctx, a.out, source)
		if err == nil {
			a.saySummary(a.err, "kept", s)
		}
		return err
	}
	s, err := writeBackup(ctx, file, force, source)
	if err != nil {
		return err
	}
	return out.print(a.out, s, func(w io.Writer) error { a.saySummary(w, "kept in "+file, s); return nil })
}

// streamsOf reaches the streams of the data directory, through its platform where one runs.
func (a *app) streamsOf(ctx context.Context) (bus *events.Bus, done func() error, err error) {
	s, err := datadir.ReadServer(a.config.DataDir)
	if errors.Is(err, datadir.ErrNotRunning) {
		return backup.Offline(ctx, a.config.DataDir, a.warnings())
	}
	if err != nil {
		return nil, nil, err
	}
	bus, err = backup.Online(s, a.warnings())
	if err != nil {
		return nil, nil, err
	}
	return bus, func() error { bus.Close(); return nil }, nil
}

// warnings is where the parts of a platform say what is wrong when a verb uses them.
func (a *app) warnings() *slog.Logger {
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// progress says which stream is worked on.
func (a *app) progress(doing string) func(string) {
	return func(stream string) { fmt.Fprintf(a.err, "%s %s\n", doing, stream) }
}

// writeBackup writes a file that appears under its name once it is whole.
func writeBackup(ctx context.Context, file string, force bool, source backup.Source) (backup.Summary, error) {
	if _, err := os.Stat(file); err == nil && !force {
		return backup.Summary{}, fmt.Errorf("%s exists: choose another name, or replace it with --force", file)
	}
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*") // mode 0600
	if err != nil {
		return backup.Summary{}, err
	}
	defer os.Remove(f.Name()) // gone already once renamed
	s, err := backup.Create(ctx, f, source)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return s, err
	}
	return s, os.Rename(f.Name(), file)
}

func (a *app) saySummary(w io.Writer, what string, s backup.Summary) {
	fmt.Fprintf(w, "%s: %s in %s, %s, of %s\n", what, count(s.Streams, "stream"), count(s.Files, "file"), sizeText(s.Bytes), s.Created.Format(time.RFC3339))
}

// sizeText is a number of bytes with a unit that reads well.
func sizeText(n int64) string {
	const unit = 1024
	size, units := float64(n), []string{"bytes", "KiB", "MiB", "GiB"}
	i := 0
	for ; size >= unit && i < len(units)-1; i++ {
		size /= unit
	}
	if i == 0 {
		return fmt.Sprintf("%d %s", n, units[0])
	}
	return fmt.Sprintf("%.1f %s", size, units[i])
}

func (a *app) restoreCommand() *cobra.Command {
	var out format
	c := &cobra.Command{
		Use:   "restore FILE|-",
		Short: "Make a data directory of a backup",
		Long: `Make the data directory (--data-dir) of a backup: whole, or not at all. The directory must not
exist, or be empty.

The next start on it rebuilds the workflows, gives back what replicas held that do not run
there, and answers the requests that had no record yet.`,
		Example: "  stoker restore stoker.tar.gz --data-dir ./restored\n  stoker up --data-dir ./restored",
		Args:    exactly(1, "the FILE to read, or - for standard input"),
		RunE:    func(c *cobra.Command, args []string) error { return a.restore(c.Context(), args[0], out) },
	}
	out.bind(c)
	return c
}

func (a *app) restore(ctx context.Context, file string, out format) error {
	in := a.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	s, err := backup.Restore(ctx, in, backup.RestoreOptions{Dir: a.config.DataDir, Log: a.warnings(), Progress: a.progress("restoring")})
	if err != nil {
		return err
	}
	return out.print(a.out, s, func(w io.Writer) error {
		a.saySummary(w, "restored into "+a.config.DataDir, s)
		fmt.Fprintf(w, "next: %s up\n", a.self())
		return nil
	})
}
