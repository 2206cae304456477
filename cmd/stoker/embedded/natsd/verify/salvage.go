package verify

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Salvage leaves the records of a stream that are good, and nothing else, for a loss that is
// accepted; whoever calls it has copied the msgs directory before. Left to itself the server would
// drop the good records behind a bad one too. The last sequence stays what it was, since numbers
// that were given to messages must not be given again.
func Salvage(dir string) error {
	msgs, name := filepath.Join(dir, "msgs"), filepath.Base(dir)
	indexes, err := blockIndexes(msgs)
	if err != nil {
		return err
	}
	var last uint64
	var end uint32 // of the blocks
	for _, n := range indexes {
		seq, err := salvageBlock(blockPath(dir, n), blockHash(name, n))
		if err != nil {
			return fmt.Errorf("salvage what is good in %s: %w", blockPath(dir, n), err)
		}
		last, end = max(last, seq), n
	}
	path := filepath.Join(msgs, "index.db")
	if x, err := readIndex(path, name); err == nil && x.last > last {
		if err := remember(dir, max(end, x.tail)+1, x.last); err != nil {
			return err
		}
	}
	// It speaks of what is gone; the server makes another one of the blocks.
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// salvageBlock rewrites a block where it is bad, and returns the highest sequence in it.
func salvageBlock(path string, h hash.Hash64) (last uint64, err error) {
	buf, err := os.ReadFile(path)
	if err != nil || bytes.HasPrefix(buf, compressed) {
		return 0, err
	}
	var good []byte
	for rest := buf; ; {
		s := scanBlock(h, rest)
		good, last = append(good, rest[:s.end]...), max(last, s.last)
		if s.why == "" {
			break
		}
		s.last = last
		next := nextGood(h, rest, s)
		if next < 0 {
			break
		}
		rest = rest[next:]
	}
	if len(good) == len(buf) {
		return last, nil
	}
	if err := os.WriteFile(path+".salvaged", good, sumMode); err != nil {
		return 0, err
	}
	return last, os.Rename(path+".salvaged", path)
}

// Remember makes a sequence the last one that a stream was given, where the last one of its
// messages is lower: whoever begins at that number again would give it to another message.
func Remember(dir string, seq uint64) error {
	indexes, err := blockIndexes(filepath.Join(dir, "msgs"))
	if err != nil {
		return err
	}
	return remember(dir, slices.Max(append(indexes, 0))+1, seq)
}

// remember writes a block with what the server itself writes down of a message that is gone. In a
// block with messages it would not count for the last sequence.
func remember(dir string, block uint32, seq uint64) error {
	rec := make([]byte, recordHead, recordHead+recordSum)
	binary.LittleEndian.PutUint32(rec, recordHead+recordSum)
	binary.LittleEndian.PutUint64(rec[4:], seq|tombstone)
	binary.LittleEndian.PutUint64(rec[12:], uint64(time.Now().UnixNano()))
	h := blockHash(filepath.Base(dir), block)
	h.Write(rec[4:20])
	return os.WriteFile(blockPath(dir, block), h.Sum(rec), sumMode)
}
