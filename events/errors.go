package events

import (
	"errors"
	"fmt"
)

// Sentinels of this package.
var (
	// ErrSubject is returned when a subject or key is not of the form it should have.
	ErrSubject = errors.New("malformed subject")
	// ErrMalformed is what every [MalformedError] is.
	ErrMalformed = errors.New("malformed event")
	// ErrRecordExists is returned when a request already has its terminal record.
	ErrRecordExists = errors.New("terminal record exists")
	// ErrResultsFull is returned when the stream of terminal records has no room. The writer
	// holds on to its request, which is the pressure that keeps new ones waiting.
	ErrResultsFull = errors.New("terminal records full")
	// ErrNotFound is returned when a record, function or dead letter does not exist.
	ErrNotFound = errors.New("not found")
	// ErrQueueFull is returned when the broker refuses a publish because the class's queue is full.
	ErrQueueFull = errors.New("queue full")
	// ErrNoRoom is returned when the broker refuses a publish because it takes no new requests
	// at all: its disk is nearly full, see [Bus.Hold].
	ErrNoRoom = errors.New("the broker has no room")
	// ErrNotDeployed is returned when no stream owns the subject of a publish.
	ErrNotDeployed = errors.New("function not deployed")
	// ErrTooLarge is returned when a message is above the broker's limit.
	ErrTooLarge = errors.New("message too large")
	// ErrConflict is returned when a compare-and-swap lost against another writer.
	ErrConflict = errors.New("written by someone else meanwhile")
	// ErrNotConnected is returned when the broker could not be reached.
	ErrNotConnected = errors.New("not connected to NATS")
	// ErrNoRequest is returned when a queue has no further request.
	ErrNoRequest = errors.New("no request")
	// ErrGap is returned when chunks of an answer are missing.
	ErrGap = errors.New("chunks of the answer are missing")
	// ErrSnapshot is returned when the broker could not finish a snapshot, or not restore one.
	ErrSnapshot = errors.New("the broker refused")
)

// MalformedError says what is wrong with an event, what is allowed, and what to do. The
// request ends in a terminal record with cause [CauseBadRequest].
type MalformedError struct {
	What    string
	Allowed string
	Hint    string
}

// Error is one line with all three parts.
func (e *MalformedError) Error() string {
	return fmt.Sprintf("%v: %s; allowed: %s; %s", ErrMalformed, e.What, e.Allowed, e.Hint)
}

// Is makes every MalformedError an [ErrMalformed].
func (e *MalformedError) Is(target error) bool { return target == ErrMalformed }

// maxShown bounds how much of an offending value an error repeats, in bytes.
const maxShown = 80

func malformed(name, value, allowed, hint string) error {
	if len(value) > maxShown {
		value = value[:maxShown] + "…"
	}
	return &MalformedError{What: fmt.Sprintf("%s is %q", name, value), Allowed: allowed, Hint: hint}
}
