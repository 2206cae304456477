package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

func (d *Dir) revokedFile() string { return filepath.Join(d.keysDir(), "revoked.json") }

// Revoked are the replicas whose tokens are refused, with the time at which the last of them
// expires by itself. A file that cannot be read back is [ErrDamaged]: to go on without it would
// let in whom the last platform had put out.
func (d *Dir) Revoked() (map[string]time.Time, error) {
	path := d.revokedFile()
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, notWritable(path, err)
	}
	var out map[string]time.Time
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("%w: %s: %w; delete it together with %s, and replicas that still run will be replaced",
			ErrDamaged, path, err, filepath.Join(d.keysDir(), hmacFile))
	}
	return out, nil
}

// WriteRevoked keeps what [Dir.Revoked] reads.
func (d *Dir) WriteRevoked(revoked map[string]time.Time) error {
	data, err := json.Marshal(revoked)
	if err != nil {
		return err
	}
	return writeFile(d.revokedFile(), append(data, '\n'))
}
