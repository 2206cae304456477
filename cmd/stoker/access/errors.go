package access

import "errors"

// Sentinels of this package.
var (
	// ErrUsers is returned when a users file is not as it should be.
	ErrUsers = errors.New("users file")
	// ErrNoUser is returned when there is no user of a name.
	ErrNoUser = errors.New("no such user")
	// ErrUserExists is returned when there is a user of the name already.
	ErrUserExists = errors.New("user exists")
)
