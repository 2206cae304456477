package verify

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"

	"github.com/nats-io/nats-server/v2/server/avl"
)

// What index.db begins with, in the versions whose layout is known here.
const (
	indexMagic    = 11
	indexVersion1 = 3 // older ones lack fields
	indexVersion2 = 4
)

// errNoIndex is returned when index.db is not there, not whole or of another version. Nothing
// is lost with it: the server rebuilds it from the blocks.
var errNoIndex = errors.New("no index")

// index is what index.db says of a stream.
type index struct {
	last   uint64            // sequence
	blocks map[uint32]uint64 // messages by block
	tail   uint32            // the last block when it was written
	sum    []byte            // checksum of the last record then
}

func readIndex(path, stream string) (index, error) {
	buf, err := os.ReadFile(path)
	if err != nil || len(buf) < 32 {
		return index{}, errNoIndex
	}
	body, sum := buf[:len(buf)-8], buf[len(buf)-8:]
	h := newHash(stream)
	h.Write(body)
	if !bytes.Equal(h.Sum(nil), sum) || body[0] != indexMagic || body[1] < indexVersion1 || body[1] > indexVersion2 {
		return index{}, errNoIndex
	}
	r := &reader{buf: body[2:], version: body[1]}
	x := r.index()
	if r.bad {
		return index{}, errNoIndex
	}
	return x, nil
}

// reader takes numbers off the front of an index, and remembers when there was none.
type reader struct {
	buf     []byte
	version byte
	bad     bool
}

func (r *reader) index() index {
	x := index{blocks: map[uint32]uint64{}}
	r.number() // messages
	r.number() // bytes
	r.number() // first sequence
	r.signed() // its time
	x.last = r.number()
	r.signed() // its time
	for range r.count() {
		r.skip(r.number())
		messages := r.number()
		r.number() // first block
		if messages > 1 || r.version >= indexVersion2 {
			r.number() // last block
		}
	}
	for range r.count() {
		i, n := r.block()
		x.blocks[i] = n
	}
	x.tail = uint32(r.number())
	if len(r.buf) < recordSum {
		r.bad = true
		return x
	}
	x.sum = r.buf[:recordSum]
	return x
}

func (r *reader) block() (index uint32, messages uint64) {
	index = uint32(r.number())
	r.number() // bytes
	first := r.number()
	r.signed()
	last := r.number()
	r.signed()
	deleted := r.number()
	r.number() // with a time to live
	r.number() // with a schedule
	if deleted > 0 {
		_, n, err := avl.Decode(r.buf)
		if err != nil {
			r.bad = true
			return index, 0
		}
		r.skip(uint64(n))
	}
	if all := last + 1 - first; all > deleted {
		messages = all - deleted
	}
	return index, messages
}

// count is a number of things of which each takes a byte at least.
func (r *reader) count() uint64 {
	n := r.number()
	if n > uint64(len(r.buf)) {
		r.bad = true
		return 0
	}
	return n
}

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.buf)
	return v * r.took(n)
}

func (r *reader) signed() {
	_, n := binary.Varint(r.buf)
	r.took(n)
}

// took moves on by n bytes and returns 1, or 0 where there was no number.
func (r *reader) took(n int) uint64 {
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.buf = r.buf[n:]
	return 1
}

func (r *reader) skip(n uint64) {
	if n > uint64(len(r.buf)) {
		r.bad = true
		n = 0
	}
	r.buf = r.buf[n:]
}
