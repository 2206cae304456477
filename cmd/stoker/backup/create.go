package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"time"

	"stoker.dev/stoker/events"
)

// Source is what is kept: a data directory, and the broker that has its streams.
type Source struct {
	Dir     string
	Users   string // the users file; empty: that of the directory
	Bus     *events.Bus
	Version string // of this program
	Now     time.Time
	Spool   string // a directory with room for the largest stream
	// Progress is called for every stream before it is read; nil: nobody looks.
	Progress func(stream string)
}

// Summary says what a backup holds.
type Summary struct {
	Created time.Time `json:"created"`
	Stoker  string    `json:"stoker"`
	Streams int       `json:"streams"`
	Files   int       `json:"files"`
	Bytes   int64     `json:"bytes"` // of its files
}

func summary(h Header, files []File) Summary {
	s := Summary{Created: h.Created, Stoker: h.Stoker, Streams: len(h.Streams), Files: len(files)}
	for _, f := range files {
		s.Bytes += f.Size
	}
	return s
}

// Create writes a backup.
func Create(ctx context.Context, w io.Writer, s Source) (Summary, error) {
	streams, err := s.Bus.SnapshotStreams(ctx)
	if errors.Is(err, events.ErrNotFound) {
		return Summary{}, fmt.Errorf("%w: the broker has no streams of stoker (%w)", ErrNothing, err)
	}
	if err != nil {
		return Summary{}, err
	}
	h := Header{Stoker: s.Version, Created: s.Now.UTC(), Streams: streams}
	out, err := NewWriter(w, h)
	if err != nil {
		return Summary{}, err
	}
	if err := s.addKept(out); err != nil {
		return Summary{}, err
	}
	for _, name := range streams {
		if s.Progress != nil {
			s.Progress(name)
		}
		if err := s.addStream(ctx, out, name); err != nil {
			return Summary{}, err
		}
	}
	last, err := s.last(ctx, streams)
	if err != nil {
		return Summary{}, err
	}
	return summary(h, out.files), out.Close(last)
}

// streamFiles are the two files of a stream, named as `nats stream backup` names them.
func streamFiles(stream string) (meta, messages string) {
	return path.Join("streams", stream, "backup.json"), path.Join("streams", stream, "stream.arc.s2")
}

// addStream reads a stream into a file first: a tar wants sizes in advance.
func (s Source) addStream(ctx context.Context, out *Writer, name string) error {
	f, err := os.CreateTemp(s.Spool, ".stoker-backup-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	meta, err := s.Bus.Snapshot(ctx, name, f)
	if err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	metaName, messages := streamFiles(name)
	data, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	if err := out.addBytes(metaName, data); err != nil {
		return err
	}
	return out.Add(messages, size, f)
}

func (s Source) last(ctx context.Context, streams []string) (map[string]uint64, error) {
	out := map[string]uint64{}
	for _, name := range streams {
		seq, err := s.Bus.LastSequence(ctx, name)
		if err != nil {
			return nil, err
		}
		out[name] = seq
	}
	return out, nil
}
