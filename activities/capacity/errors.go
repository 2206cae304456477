package capacity

import "errors"

// Sentinels of this package.
var (
	// ErrClosed is returned once the context the writer was opened with has ended.
	ErrClosed = errors.New("the capacity ledger's writer has ended")
	// ErrContended is returned when other writers were faster every time.
	ErrContended = errors.New("the capacity ledger is written by too many at once")
)
