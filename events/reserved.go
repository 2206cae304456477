package events

import (
	"strconv"
	"strings"
)

// A bare payload has the place where it is stored for an id, which anybody can foretell. Who could
// choose it for an event of their own would have its record first, and the bare payload that comes
// to lie there would be taken for one that has ended.

// checkID refuses an id that only the platform gives. A redriven event may have it: it was given to
// the bare payload that it was.
func (e Event) checkID() error {
	if e.Redrive > 0 || !strings.HasPrefix(e.ID, ReservedID) {
		return nil
	}
	return malformed("id", e.ID, "ids that do not begin with "+ReservedID+", which the platform gives to bare payloads",
		"choose another id, or leave out ce-id, ce-source, ce-type and ce-specversion to be given one")
}

// withoutReserved is for events that others wrote.
func withoutReserved(e Event, err error) (Event, error) {
	if e.checkID() == nil {
		return e, err
	}
	return refuseID(e, err)
}

// refuseID takes the id away, so that the event's record is not written under it.
func refuseID(e Event, err error) (Event, error) {
	if err == nil {
		e.Redrive = 0
		err = e.checkID()
	}
	e.ID, e.Redrive = "", 0
	return e, err
}

// comesBefore tells whether an event says that it is the redrive of a bare payload that is not
// stored yet. A shard gives its numbers once, and what is redriven was there before.
func (e Event) comesBefore(stream string, seq uint64) bool {
	if e.Redrive == 0 || !strings.HasPrefix(e.ID, stream+"-") {
		return false
	}
	was, err := strconv.ParseUint(strings.TrimPrefix(e.ID, stream+"-"), 10, 64)
	return err != nil || was >= seq
}
