package activities

import "errors"

// Sentinels of this package.
var (
	// ErrFenced is returned when a start carries an older lease epoch than one already seen.
	ErrFenced = errors.New("start refused: its lease is outdated")
	// ErrStopped is returned when a start comes after the replica was stopped.
	ErrStopped = errors.New("start refused: the replica was stopped before")
	// ErrNoReplica is returned when a replica is not known.
	ErrNoReplica = errors.New("no such replica")
	// ErrNoCommand is returned when a local run has no runtime.local.command.
	ErrNoCommand = errors.New("spec.runtime.local.command is needed: the local provider runs no images")
	// ErrStillRunning is returned when a lease should be released while its processes live.
	ErrStillRunning = errors.New("the replica still runs")
	// ErrSuperseded is returned when a start is for a revision that is not the deployed one any more.
	ErrSuperseded = errors.New("start refused: another manifest is deployed")
	// ErrNotNow is returned when nothing was started, and will not be before something else than GPUs
	// changes: a quota, a right, a server that is away.
	ErrNotNow = errors.New("not to be started now")
	// ErrBadSpec is returned when a replica's spec can never be started as it is.
	ErrBadSpec = errors.New("the replica cannot be started as specified")
)
