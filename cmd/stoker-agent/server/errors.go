package server

import "errors"

// Sentinels of this package.
var (
	// ErrSpawn is returned when the command could not be started at all.
	ErrSpawn = errors.New("program could not be started")
	// ErrNeverReady is returned when the probe did not answer 200 in time.
	ErrNeverReady = errors.New("model server never became ready")
	// ErrExited is returned when the model server ended while it was waited for.
	ErrExited = errors.New("model server exited")
	// ErrTreeAlive is returned when processes of the tree outlived SIGKILL, which a
	// process in an uninterruptible kernel call does.
	ErrTreeAlive = errors.New("processes of the model server are still alive")
)
