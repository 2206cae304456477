package verify

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	metaFile = "meta.inf"
	sumFile  = "meta.sum"
	sumMode  = 0o600

	msgsDir   = "msgs"
	purgedDir = "__new_msgs__" // what a purge leaves, before it takes the place of msgs
)

// meta looks at the stream's configuration. begun is false for a stream whose creation was
// interrupted before anything was stored.
func (s *stream) meta() (begun bool, err error) {
	path := filepath.Join(s.dir, metaFile)
	data, err := s.read(path)
	if err != nil {
		return false, err
	}
	sum, err := s.read(filepath.Join(s.dir, sumFile))
	if err != nil {
		return false, err
	}
	h := newHash(s.name)
	h.Write(data)
	want := hex.EncodeToString(h.Sum(nil))
	var info server.FileStreamInfo
	switch {
	case data == nil && !s.stores():
		return false, nil
	case data == nil:
		s.damage(Stream, path, "it is missing")
	case len(data) == 0:
		s.damage(Stream, path, "it is empty")
	case !strict(data, &info) || info.Name != s.name:
		s.damage(Stream, path, "it does not hold the configuration of stream %s", s.name)
	case s.lacksMsgs():
		s.damage(Stream, filepath.Join(s.dir, msgsDir), "the directory with its messages is missing")
	case string(sum) != want:
		return true, s.mend(path, want)
	}
	return true, nil
}

// stores tells whether any block holds anything.
func (s *stream) stores() bool {
	blocks, _ := filepath.Glob(filepath.Join(escape(s.dir), "msgs", "*.blk")) // the pattern is well-formed
	for _, b := range blocks {
		if info, err := os.Stat(b); err == nil && info.Size() > 0 {
			return true
		}
	}
	return false
}

// lacksMsgs tells whether the directory with the messages is gone. A purge moves it away, and puts
// another one in its place, which lies ready by then; where it is killed in between the server goes on.
func (s *stream) lacksMsgs() bool {
	return !isDir(filepath.Join(s.dir, msgsDir)) && !isDir(filepath.Join(s.dir, purgedDir))
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// strict reads a configuration that must have no other fields than the server's.
func strict(data []byte, into any) bool {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(into) == nil
}

// Mend: the server writes meta.inf as a whole and then meta.sum. A kill in between leaves a good
// configuration with the checksum of the one before, and the server would leave the stream out.
// The same is left by an edit of meta.inf; the difference is that the older file is the checksum.
func (s *stream) mend(path, sum string) error {
	meta, err := os.Stat(path)
	if err != nil {
		return err
	}
	old, err := os.Stat(filepath.Join(s.dir, sumFile))
	if err == nil && old.ModTime().After(meta.ModTime()) {
		s.damage(Stream, path, "it does not match %s", sumFile)
		return nil
	}
	return os.WriteFile(filepath.Join(s.dir, sumFile), []byte(sum), sumMode)
}

// consumers looks at the configurations the server reads without a checksum. One that is not
// there, or has none, was only begun; the server leaves it out.
func (s *stream) consumers() error {
	metas, err := filepath.Glob(filepath.Join(escape(s.dir), "obs", "*", metaFile))
	if err != nil {
		return err
	}
	for _, path := range metas {
		data, err := s.read(path)
		if err != nil {
			return err
		}
		var info server.FileConsumerInfo
		if !strict(data, &info) {
			s.damage(Consumer, filepath.Dir(path), "its configuration cannot be read; nothing is stored in it, it is made again")
		}
	}
	return nil
}
