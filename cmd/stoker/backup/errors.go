package backup

import "errors"

// Sentinels of this package.
var (
	// ErrNothing is returned when a directory holds nothing that could be kept.
	ErrNothing = errors.New("nothing to back up")
	// ErrNoBackup is returned when a file is no backup, or not a whole one.
	ErrNoBackup = errors.New("not a backup")
	// ErrNewer is returned when a backup is of a format that this program does not know.
	ErrNewer = errors.New("backup of a newer stoker")
	// ErrNotEmpty is returned when the directory to restore into holds something.
	ErrNotEmpty = errors.New("directory is not empty")
)
