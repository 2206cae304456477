package natsd

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"stoker.dev/stoker/cmd/stoker/embedded/natsd/verify"
)

// damagedDir is where what is damaged is kept, below the store directory, once a start is told
// to go on without it.
const damagedDir = "damaged"

const dirMode = 0o700

// inspect looks at the files before the server opens them (see [verify]), and notes that a run
// has begun. Damage is refused, or moved aside where the loss is accepted, or was one of the machine's.
func inspect(o Options) error {
	begun := time.Now()
	if err := os.MkdirAll(o.StoreDir, dirMode); err != nil {
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	report, err := verify.Check(o.StoreDir, readLastRun(o.StoreDir).last())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	o.Logger.Debug("JetStream's files looked at", "streams", len(report.Streams), "bytes", report.Bytes, "took", time.Since(begun))
	for _, what := range report.Lost {
		o.Logger.Error("messages lost", "what", what)
	}
	aside := filepath.Join(o.StoreDir, damagedDir, begun.UTC().Format("20060102T150405Z"))
	if err := report.Err(); err != nil && !o.AcceptLoss {
		return fmt.Errorf("%w; put a backup in the place of the data directory (stoker restore), or go on without what is damaged: "+
			"stoker up --accept-loss moves it to %s first", err, filepath.Dir(aside))
	}
	if err := setAside(slices.Concat(report.Damages, report.Torn), aside, o.Logger); err != nil {
		return fmt.Errorf("%w: keep what is damaged: %w", ErrStart, err)
	}
	if err := (lastRun{Boot: bootID(), Streams: report.Streams}).write(o.StoreDir); err != nil {
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	return nil
}

// setAside keeps what is damaged, so that going on without it destroys nothing: what the server
// would leave out is moved; of messages the good ones stay, and a copy of all is kept.
func setAside(damages []verify.Damage, to string, log *slog.Logger) error {
	salvaged := map[string]bool{}
	for _, d := range damages {
		log.Error("going on without what is damaged", "stream", d.Stream, "path", d.Path, "what", d.What, "kept", to)
		var err error
		switch d.Kind {
		case verify.Stream:
			err = move(d.Dir, filepath.Join(to, d.Stream))
		case verify.Consumer:
			err = move(d.Path, filepath.Join(to, d.Stream+".consumers", filepath.Base(d.Path)))
		case verify.Block:
			if !salvaged[d.Dir] {
				salvaged[d.Dir] = true
				err = salvage(d.Dir, filepath.Join(to, d.Stream+".msgs"))
			}
		case verify.Missing:
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// salvage keeps a copy of a stream's messages and leaves the good ones.
func salvage(stream, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), dirMode); err != nil {
		return err
	}
	if err := os.CopyFS(to, os.DirFS(filepath.Join(stream, "msgs"))); err != nil {
		return err
	}
	return verify.Salvage(stream)
}

func move(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), dirMode); err != nil {
		return err
	}
	return os.Rename(from, to)
}
