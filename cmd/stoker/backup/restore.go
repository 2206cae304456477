package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/cmd/stoker/embedded/natsd"
	"stoker.dev/stoker/cmd/stoker/embedded/natsd/verify"
	"stoker.dev/stoker/events"
)

// RestoreOptions are all needed but Progress.
type RestoreOptions struct {
	Dir      string // the data directory to make
	Log      *slog.Logger
	Progress func(stream string) // called for every stream before it is restored
}

// Restore makes a data directory of a backup: as a whole, or not at all. Errors: [ErrNotEmpty],
// [ErrNoBackup], [ErrNewer].
func Restore(ctx context.Context, r io.Reader, o RestoreOptions) (Summary, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return Summary{}, err
	}
	if err := vacant(dir); err != nil {
		return Summary{}, err
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, dirMode); err != nil {
		return Summary{}, err
	}
	temp, err := os.MkdirTemp(parent, ".stoker-restore-*") // beside the target, so that it can be renamed
	if err != nil {
		return Summary{}, err
	}
	defer os.RemoveAll(temp)
	done, err := restoreInto(ctx, r, temp, o)
	if err != nil {
		return Summary{}, err
	}
	return done, publish(temp, dir)
}

// vacant refuses a directory that holds anything.
func vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if s, err := datadir.ReadServer(dir); err == nil {
		return fmt.Errorf("%w: a platform (pid %d) runs on %s; stop it and move the directory away, or restore into another with --data-dir", ErrNotEmpty, s.PID, dir)
	}
	return fmt.Errorf("%w: %s; move it away, or restore into another with --data-dir", ErrNotEmpty, dir)
}

func restoreInto(ctx context.Context, r io.Reader, temp string, o RestoreOptions) (Summary, error) {
	root, err := os.OpenRoot(temp)
	if err != nil {
		return Summary{}, err
	}
	defer root.Close()
	h, sums, err := Extract(r, root)
	if err != nil {
		return Summary{}, err
	}
	store := filepath.Join(temp, "nats")
	have, err := restoreStreams(ctx, root, store, h.Streams, o)
	if err != nil {
		return Summary{}, err
	}
	for stream, seq := range have {
		if last := sums.Last[stream]; last > seq {
			if err := verify.Remember(natsd.StreamDir(store, stream), last); err != nil {
				return Summary{}, fmt.Errorf("stream %s: %w", stream, err)
			}
		}
	}
	if err := root.RemoveAll("streams"); err != nil {
		return Summary{}, err
	}
	report, err := verify.Check(store, verify.Last{Streams: h.Streams})
	return summary(h, sums.Files), errors.Join(err, report.Err())
}

// restoreStreams has a broker of our own make the streams, and returns the number of the last
// message of each.
func restoreStreams(ctx context.Context, root *os.Root, store string, streams []string, o RestoreOptions) (last map[string]uint64, err error) {
	bus, stop, err := broker(ctx, store, o.Log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	last = map[string]uint64{}
	for _, name := range streams {
		if o.Progress != nil {
			o.Progress(name)
		}
		if err := restoreStream(ctx, root, bus, name); err != nil {
			return nil, err
		}
		if last[name], err = bus.LastSequence(ctx, name); err != nil {
			return nil, err
		}
	}
	return last, nil
}

func restoreStream(ctx context.Context, root *os.Root, bus *events.Bus, name string) error {
	metaName, messages := streamFiles(name)
	m, err := root.Open(metaName)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoBackup, err)
	}
	defer m.Close()
	var meta events.StreamMeta
	if err := readJSON(metaName, m, &meta); err != nil {
		return err
	}
	f, err := root.Open(messages)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoBackup, err)
	}
	defer f.Close()
	return bus.RestoreStream(ctx, name, meta, f)
}

// publish gives the finished directory its name. Everything in it is on the disk before.
func publish(temp, dir string) error {
	if err := syncAll(temp); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty one
		return err
	}
	if err := os.Rename(temp, dir); err != nil {
		return err
	}
	return syncAll(filepath.Dir(dir))
}

// syncAll writes out the file system that a directory is on.
func syncAll(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}
