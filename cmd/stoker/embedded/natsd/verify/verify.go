package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Version is the server whose files this package was written for.
const Version = "2.15.2"

// atOnce bounds the streams looked at together: reading a block is mostly waiting for a disk,
// and each holds one in memory, 8 MiB at most.
const atOnce = 4

// Last is what is known of the run before.
type Last struct {
	Clean    bool     // it ended by itself: the indexes are exact
	Rebooted bool     // the machine went down under it: the end of a last block may be missing
	Streams  []string // that there were, and that nobody deletes
}

// Report is what was found.
type Report struct {
	Streams []string // that are there, sorted
	Damages []Damage
	Lost    []string // what a machine that went down cost, in words
	Torn    []Damage // blocks it cost the end of: told in Lost, and to be salvaged before a start
	Bytes   int64    // read
}

// Err is the damages as an error, nil if there are none.
func (r Report) Err() error {
	if len(r.Damages) == 0 {
		return nil
	}
	return &Error{Damages: r.Damages}
}

// Check reads everything below the store directory of a server that does not run. It changes
// nothing but what [Mend] says. Errors are those of the file system; damage is in the report.
func Check(store string, last Last) (Report, error) {
	dirs, err := streamDirs(store)
	if err != nil {
		return Report{}, err
	}
	found := make([]Report, len(dirs))
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i, dir := range dirs {
		g.Go(func() (err error) {
			found[i], err = checkStream(dir, last)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return Report{}, fmt.Errorf("look at JetStream's files: %w", err)
	}
	return merge(store, found, last), nil
}

// Streams are the names of the streams below the store directory, sorted: the same as those of a
// [Report] without damages.
func Streams(store string) ([]string, error) {
	dirs, err := streamDirs(store)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, dir := range dirs {
		// Without a configuration a stream is only begun.
		if _, err := os.Stat(filepath.Join(dir, metaFile)); err == nil {
			names = append(names, filepath.Base(dir))
		}
	}
	slices.Sort(names)
	return names, nil
}

// streamDirs are the directories of all streams of all accounts. A name that begins with a dot
// is a stream whose deletion was interrupted.
func streamDirs(store string) ([]string, error) {
	all, err := filepath.Glob(filepath.Join(escape(store), "jetstream", "*", "streams", "*"))
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(dir string) bool {
		info, err := os.Stat(dir)
		return strings.HasPrefix(filepath.Base(dir), ".") || err != nil || !info.IsDir()
	}), nil
}

// escape keeps the characters of a directory's name from being a pattern.
func escape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

func merge(store string, found []Report, last Last) Report {
	var all Report
	for _, r := range found {
		all.Streams = append(all.Streams, r.Streams...)
		all.Damages = append(all.Damages, r.Damages...)
		all.Lost = append(all.Lost, r.Lost...)
		all.Torn = append(all.Torn, r.Torn...)
		all.Bytes += r.Bytes
	}
	slices.Sort(all.Streams)
	for _, name := range last.Streams {
		told := slices.ContainsFunc(all.Damages, func(d Damage) bool { return d.Stream == name })
		if !told && !slices.Contains(all.Streams, name) {
			all.Damages = append(all.Damages, Damage{
				Kind: Missing, Stream: name, Path: filepath.Join(store, "jetstream"), What: "stream " + name + " was there and is not",
			})
		}
	}
	return all
}

// checkStream looks at one stream's directory.
func checkStream(dir string, last Last) (Report, error) {
	s := &stream{dir: dir, name: filepath.Base(dir), last: last}
	begun, err := s.meta()
	if err != nil || !begun || len(s.Damages) > 0 {
		return s.Report, err
	}
	s.Streams = []string{s.name}
	return s.Report, errors.Join(s.consumers(), s.blocks())
}

// stream is one stream as it is looked at.
type stream struct {
	Report
	dir, name string
	last      Last
}

func (s *stream) damage(kind Kind, path, format string, args ...any) {
	s.Damages = append(s.Damages, Damage{Kind: kind, Stream: s.name, Dir: s.dir, Path: path, What: fmt.Sprintf(format, args...)})
}

// read returns a file's content, nil where there is none.
func (s *stream) read(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	s.Bytes += int64(len(data))
	return data, err
}
