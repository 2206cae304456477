package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// errTooLarge is returned when an answer, or one event of a stream, does not fit a message.
var errTooLarge = errors.New("larger than a message may be")

// doneLine ends an OpenAI stream.
var doneLine = []byte("data: [DONE]")

// eachEvent calls do with every server-sent event of r as it was sent, blank line included,
// and tells whether the stream said it was done. What follows the last blank line is an
// event too. An event above limit bytes ends it with [errTooLarge].
func eachEvent(r io.Reader, limit int, do func([]byte) error) (done bool, err error) {
	lines := bufio.NewReader(r)
	var event []byte
	for {
		line, err := lines.ReadSlice('\n')
		if len(event)+len(line) > limit {
			return done, errTooLarge
		}
		event = append(event, line...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue // the line goes on
		}
		blank := len(bytes.TrimRight(line, "\r\n")) == 0
		if err != nil || (blank && endsLine(event)) {
			done = done || bytes.Contains(event, doneLine)
			if failed := flush(event, do); failed != nil {
				return done, failed
			}
			event = nil
		}
		if errors.Is(err, io.EOF) {
			return done, nil
		}
		if err != nil {
			return done, err
		}
	}
}

// endsLine tells whether the blank that was just read is a line of its own, not the end of
// a line that filled the reader's buffer.
func endsLine(event []byte) bool {
	rest := bytes.TrimSuffix(bytes.TrimSuffix(event, []byte("\n")), []byte("\r"))
	return len(rest) == 0 || rest[len(rest)-1] == '\n'
}

func flush(event []byte, do func([]byte) error) error {
	if len(bytes.TrimSpace(event)) == 0 {
		return nil
	}
	return do(event)
}

// eachRead calls do with r's bytes as they come, for streams that are not server-sent events.
func eachRead(r io.Reader, limit int, do func([]byte) error) error {
	for {
		buf := make([]byte, min(limit, 32<<10))
		n, err := r.Read(buf)
		if n > 0 {
			if failed := do(buf[:n]); failed != nil {
				return failed
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
