package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/minio/highwayhash"
)

// The layout of a record: total length (4 bytes, the highest bit: it has headers), sequence (8),
// time (8), length of the subject (2), subject, with headers their length (4) and they, payload,
// checksum (8). The checksum covers sequence, time, subject, headers and payload.
const (
	recordHead = 22
	recordSum  = 8

	hasHeaders = 1 << 31
	erased     = 1 << 63 // of a sequence: the message was erased or skipped
	tombstone  = 1 << 62 // of a sequence: it tells of a message that was deleted

	// maxRecord is the length from which the server itself takes a length for garbage.
	maxRecord = 32 << 20
)

// compressed begins a block in another format. stoker's streams are not compressed; one that is
// can still be opened, and is not looked into.
var compressed = []byte("cmp")

// newHash is the checksum of one file: its key is what the file is called.
func newHash(name string) hash.Hash64 {
	key := sha256.Sum256([]byte(name))
	h, err := highwayhash.New64(key[:])
	if err != nil {
		panic("verify: a SHA-256 has the size of a key: " + err.Error())
	}
	return h
}

// blockHash is the checksum of the records in one block.
func blockHash(stream string, index uint32) hash.Hash64 {
	return newHash(fmt.Sprintf("%s-%d", stream, index))
}

// record is the length of the record that buf begins with and the sequence it speaks of; why is
// not empty where it is none.
func record(h hash.Hash64, buf []byte) (length int, seq uint64, why string) {
	if len(buf) < recordHead+recordSum {
		return 0, 0, "it ends in the middle"
	}
	le := binary.LittleEndian
	rl, subject := le.Uint32(buf), int(le.Uint16(buf[20:]))
	body := subject
	if rl&hasHeaders != 0 {
		rl, body = rl&^hasHeaders, body+4
	}
	length = int(rl)
	switch {
	case length < recordHead+recordSum+body || length > maxRecord:
		return 0, 0, "its length cannot be"
	case length > len(buf):
		return 0, 0, "it ends in the middle"
	}
	data := buf[recordHead : length-recordSum]
	h.Reset()
	h.Write(buf[4:20])
	h.Write(data[:subject])
	h.Write(data[body:])
	if !bytes.Equal(h.Sum(nil), buf[length-recordSum:length]) {
		return 0, 0, "it does not match its checksum"
	}
	return length, le.Uint64(buf[4:]) &^ (erased | tombstone), ""
}

// scan is what the records of one block tell.
type scan struct {
	records int
	last    uint64 // highest sequence spoken of
	sum     []byte // checksum of the last record
	end     int    // where the good records end
	why     string // what is wrong there; empty: nothing
}

func scanBlock(h hash.Hash64, buf []byte) scan {
	var s scan
	for s.end < len(buf) {
		n, seq, why := record(h, buf[s.end:])
		if why != "" {
			s.why = why
			return s
		}
		s.records++
		s.last = max(s.last, seq)
		s.end += n
		s.sum = buf[s.end-recordSum : s.end]
	}
	return s
}

// maxGap bounds how far the sequence of a record may be above the one before it. It tells a
// record from chance before its checksum is computed.
const maxGap = 1 << 32

// nextGood is where the next whole record behind a bad one begins, -1 if there is none. A length
// inside the bad one may lead anywhere, so every place is tried as a beginning.
func nextGood(h hash.Hash64, buf []byte, s scan) int {
	for at := s.end + 1; at+recordHead+recordSum <= len(buf); at++ {
		seq := binary.LittleEndian.Uint64(buf[at+4:]) &^ (erased | tombstone)
		if seq > s.last+maxGap {
			continue
		}
		if _, _, why := record(h, buf[at:]); why == "" {
			return at
		}
	}
	return -1
}

// goodAfter counts the records that are whole behind a bad one.
func goodAfter(h hash.Hash64, buf []byte, s scan) int {
	at := nextGood(h, buf, s)
	if at < 0 {
		return 0
	}
	return scanBlock(h, buf[at:]).records
}
