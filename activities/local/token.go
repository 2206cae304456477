package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"stoker.dev/stoker/activities"
)

var _ activities.Renewer = (*Local)(nil)

// RenewTokens implements [activities.Renewer]. A replica whose token cannot be renewed is no
// reason to leave out the others.
func (l *Local) RenewTokens(renew func(token string) (string, error)) error {
	var errs []error
	for _, id := range l.ids() {
		if err := l.renewToken(id, renew); err != nil {
			errs = append(errs, fmt.Errorf("token of replica %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

func (l *Local) renewToken(id string, renew func(string) (string, error)) error {
	r, err := l.take(id, false)
	if errors.Is(err, activities.ErrNoReplica) {
		return nil // it went meanwhile
	}
	if err != nil {
		return err
	}
	defer r.mu.Unlock()
	if !r.rec.begun() || r.rec.Gone || !r.rec.Forgotten.IsZero() {
		return nil
	}
	path := filepath.Join(r.dir, tokenFile)
	old, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its broker is one elsewhere, with credentials of its own
	}
	if err != nil {
		return err
	}
	token, err := renew(strings.TrimSpace(string(old)))
	if err != nil {
		return err
	}
	return writeToken(path, token)
}

// writeToken writes what the agent reads at every connect; an empty path is none.
func writeToken(path, token string) error {
	if path == "" {
		return nil
	}
	return writeFile(path, []byte(token+"\n"))
}
