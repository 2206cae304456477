package datadir

import (
	"errors"
	"os"
	"path/filepath"
)

// writeFile replaces path as a whole or not at all: a reader, or the next start after a
// power loss, sees the old content or the new.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return explain(path, MinFree, err)
	}
	defer os.Remove(f.Name()) // gone already once renamed
	_, werr := f.Write(data)
	if err := errors.Join(werr, f.Chmod(fileMode), f.Sync(), f.Close()); err != nil {
		return explain(path, MinFree, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return explain(path, MinFree, err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename survive a power loss.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
