package verify

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// blocks reads every record of the stream, and compares what there is with what the index
// remembers.
func (s *stream) blocks() error {
	msgs := filepath.Join(s.dir, "msgs")
	indexes, err := blockIndexes(msgs)
	if err != nil {
		return err
	}
	var tail scan // of the last block
	var last uint64
	for i, n := range indexes {
		end := i == len(indexes)-1
		if tail, err = s.block(n, end); err != nil {
			return err
		}
		last = max(last, tail.last)
	}
	x, err := readIndex(filepath.Join(msgs, "index.db"), s.name)
	if err == nil && len(s.Damages) == 0 {
		s.compare(x, indexes, tail, last)
	}
	return nil
}

func blockIndexes(msgs string) ([]uint32, error) {
	entries, err := os.ReadDir(msgs)
	if errors.Is(err, fs.ErrNotExist) { // in the middle of a purge; all else is damage by now
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []uint32
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".blk")
		if n, err := strconv.ParseUint(name, 10, 32); ok && err == nil {
			out = append(out, uint32(n))
		}
	}
	slices.Sort(out)
	return out, nil
}

func (s *stream) path(block uint32) string { return blockPath(s.dir, block) }

func blockPath(dir string, block uint32) string {
	return filepath.Join(dir, "msgs", fmt.Sprintf("%d.blk", block))
}

// block reads one block. A kill leaves a record half written at the very end, and nothing else.
func (s *stream) block(n uint32, end bool) (scan, error) {
	buf, err := s.read(s.path(n))
	if err != nil || bytes.HasPrefix(buf, compressed) {
		return scan{}, err
	}
	h := blockHash(s.name, n)
	got := scanBlock(h, buf)
	if got.why == "" {
		return got, nil
	}
	if good := goodAfter(h, buf, got); good > 0 {
		s.damage(Block, s.path(n), "the record at byte %d is bad, %s; %d before and %d after it are good", got.end, got.why, got.records, good)
	} else if !end && s.last.Rebooted {
		s.torn(n, got)
	} else if !end {
		s.damage(Block, s.path(n), "the record at byte %d is bad, %s, and none after it is good", got.end, got.why)
	}
	return got, nil
}

// torn tells of a block whose end did not reach the disk while the beginning of the next one did:
// both were written within one sync interval. What is whole in it stays.
func (s *stream) torn(n uint32, got scan) {
	s.Torn = append(s.Torn, Damage{
		Kind: Block, Stream: s.name, Dir: s.dir, Path: s.path(n),
		What: fmt.Sprintf("it ends at byte %d, %s: the machine went down before the rest was synced", got.end, got.why),
	})
	s.Lost = append(s.Lost, s.Torn[len(s.Torn)-1].String())
}

// compare holds the blocks against the index. An index may be older than the blocks, never newer;
// after a run that ended by itself it is exact.
func (s *stream) compare(x index, there []uint32, tail scan, last uint64) {
	if x.last > last {
		s.short(x.last, last)
		return
	}
	if !s.last.Clean {
		return
	}
	for _, n := range slices.Sorted(maps.Keys(x.blocks)) {
		if x.blocks[n] > 0 && !slices.Contains(there, n) {
			s.damage(Block, s.path(n), "it is missing, with %d messages", x.blocks[n])
		}
	}
	if len(s.Damages) == 0 && len(there) > 0 && there[len(there)-1] == x.tail && tail.sum != nil && !bytes.Equal(tail.sum, x.sum) {
		s.damage(Block, s.path(x.tail), "it does not end with the record it ended with when the server stopped")
	}
}

// short tells that the end of the stream is missing.
func (s *stream) short(want, have uint64) {
	if s.last.Rebooted {
		s.Lost = append(s.Lost, fmt.Sprintf("stream %s ends at message %d, it had %d: the machine went down before the rest was synced", s.name, have, want))
		return
	}
	s.damage(Block, filepath.Join(s.dir, "msgs"), "the end is missing: the last message is %d, it was %d", have, want)
}
