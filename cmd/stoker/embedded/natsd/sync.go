package natsd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Sync returns once everything a stream had acknowledged before is on the disk. JetStream can
// sync every message of a server or none; this is for the few streams whose messages must outlive
// a power cut at once. fsync is the file's, not the descriptor's, so what the server wrote with its
// own counts. A block that is synced already costs a system call.
func (s *Server) Sync(stream string) error {
	if s.o.SyncInterval == 0 {
		return nil
	}
	dir := StreamDir(s.o.StoreDir, stream)
	blocks, err := blocksOf(filepath.Join(dir, "msgs"))
	if err != nil {
		return fmt.Errorf("sync stream %s: %w", stream, err)
	}
	// New names count once their directory is synced, from the inside out.
	paths := append(blocks, filepath.Join(dir, "meta.inf"), filepath.Join(dir, "meta.sum"), filepath.Join(dir, "msgs"), dir, filepath.Dir(dir))
	for _, path := range paths {
		if err := s.fsync(path); err != nil {
			gone := errors.Is(err, fs.ErrNotExist) && slices.Contains(blocks, path) // emptied and removed meanwhile
			if !gone {
				return fmt.Errorf("sync stream %s: %w", stream, err)
			}
		}
	}
	return nil
}

// blocksOf are the files that hold a stream's messages. A name of the directory is no pattern:
// one with a bracket in it would match nothing, and nothing would be synced.
func blocksOf(msgs string) ([]string, error) {
	entries, err := os.ReadDir(msgs)
	if err != nil {
		return nil, err
	}
	var blocks []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".blk" {
			blocks = append(blocks, filepath.Join(msgs, e.Name()))
		}
	}
	return blocks, nil
}

// bucketPrefix is what NATS puts before the name of a key-value bucket's stream.
const bucketPrefix = "KV_"

// BucketStream names the stream of a key-value bucket.
func BucketStream(bucket string) string { return bucketPrefix + bucket }

// StreamDir is where the server keeps a stream, below its store directory.
func StreamDir(store, stream string) string {
	return filepath.Join(store, "jetstream", account, "streams", stream)
}

func fsync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
