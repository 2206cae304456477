package request

import (
	"fmt"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// headerRoom is what of the broker's limit for a message is left for the headers of a
// record, whose longest parts (id, source, message) are bounded when they are read.
const headerRoom = 64 << 10

// defaultPayload is NATS's own limit, taken while no broker has said another.
const defaultPayload = 1 << 20

// bodyLimit is how large an answer, or one chunk of it, may be.
func (h *Handler) bodyLimit() int {
	limit := int(h.Bus.Conn().MaxPayload())
	if limit <= 0 {
		limit = defaultPayload
	}
	return max(limit-headerRoom, limit/2)
}

// keepsBody tells whether a record holds the answer: asynchronous callers have nothing
// else to read it from, synchronous ones got it. An error's answer is small, and what an
// operator looks for.
func keepsBody(rule functions.RecordContent, sync bool, status events.Status) bool {
	switch rule {
	case functions.RecordWhole:
		return true
	case functions.RecordStatus:
		return false
	default:
		return !sync || status != events.StatusOK
	}
}

// answer collects what comes in chunks, and passes it on. One goroutine adds.
type answer struct {
	chunks *events.ChunkWriter // nil: nobody waits for chunks
	keep   bool
	limit  int
	body   []byte
	size   int
}

func (a *answer) add(chunk []byte) error {
	a.size += len(chunk)
	if a.size <= a.limit && (a.keep || a.chunks == nil) {
		a.body = append(a.body, chunk...)
	}
	if a.chunks != nil {
		_, _ = a.chunks.Write(chunk) // replies are at most once; the record is the answer
	}
	return nil
}

// whole is what was collected; where it became too large, nothing, and a sentence saying so.
func (a *answer) whole() (body []byte, message string) {
	if a.size > a.limit {
		return nil, fmt.Sprintf("the streamed answer of %d bytes is larger than the %d a record may hold and was not kept", a.size, a.limit)
	}
	return a.body, ""
}
