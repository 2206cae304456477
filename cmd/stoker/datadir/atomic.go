package datadir

import (
	"errors"
	"os"
	"path/filepath"
)

// writeFile is [Replace] with errors that name the data directory.
func writeFile(path string, data []byte) error {
	if err := Replace(path, data); err != nil {
		return explain(path, MinFree, err)
	}
	return nil
}

// Replace writes a file, for its owner only, as a whole or not at all: a reader, or the next start
// after a power cut, sees the old content or the new, and the new once Replace has returned.
func Replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already once renamed
	_, werr := f.Write(data)
	if err := errors.Join(werr, f.Chmod(fileMode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
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
