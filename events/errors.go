package events

import "errors"

// Sentinels of this package.
var (
	// ErrSubject is returned when a subject or key is not of the form it should have.
	ErrSubject = errors.New("malformed subject")
	// ErrRecordExists is returned when a request already has its terminal record.
	ErrRecordExists = errors.New("terminal record exists")
	// ErrNotFound is returned when a record, function or dead letter does not exist.
	ErrNotFound = errors.New("not found")
	// ErrQueueFull is returned when the broker refuses a publish because the class's queue is full.
	ErrQueueFull = errors.New("queue full")
	// ErrNotDeployed is returned when no stream owns the subject of a publish.
	ErrNotDeployed = errors.New("function not deployed")
	// ErrConflict is returned when a compare-and-swap lost against another writer.
	ErrConflict = errors.New("written by someone else meanwhile")
)
