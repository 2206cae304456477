package checkpoint

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// commit is the content of the marker file.
type commit struct {
	Step  int        `json:"step"`
	Files []fileInfo `json:"files"`
}

type fileInfo struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

func readMarker(dir string) (commit, error) {
	data, err := os.ReadFile(filepath.Join(dir, marker))
	if err != nil {
		return commit{}, fmt.Errorf("%s: %w: %w", dir, ErrNotCommitted, err)
	}
	var m commit
	if err := json.Unmarshal(data, &m); err != nil {
		return commit{}, fmt.Errorf("%s: %w: bad marker: %w", dir, ErrNotCommitted, err)
	}
	return m, nil
}

// writeMarker commits c: the marker appears whole or not at all, and is durable
// when writeMarker returns.
func writeMarker(c Checkpoint, files []fileInfo) error {
	data, err := json.MarshalIndent(commit{Step: c.Step, Files: files}, "", "  ")
	if err != nil {
		return err
	}
	tmp := filepath.Join(c.Dir, marker+".tmp")
	if err := writeSynced(tmp, append(data, '\n')); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(c.Dir, marker)); err != nil {
		return err
	}
	return syncDir(c.Dir)
}

// verify compares the files with the marker.
func verify(c Checkpoint) error {
	m, err := readMarker(c.Dir)
	if err != nil {
		return err
	}
	for _, want := range m.Files {
		got, err := describe(filepath.Join(c.Dir, filepath.Base(want.Name)))
		if err != nil {
			return fmt.Errorf("%s: %w: %w", c.Dir, ErrDamaged, err)
		}
		if got != want {
			return fmt.Errorf("%s: %w: %s has %d bytes and digest %.12s, the marker says %d and %.12s",
				c.Dir, ErrDamaged, want.Name, got.Bytes, got.SHA256, want.Bytes, want.SHA256)
		}
	}
	return nil
}

// syncFiles makes every file of dir durable and describes it.
func syncFiles(dir string) ([]fileInfo, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []fileInfo
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if err := syncFile(path); err != nil {
			return nil, err
		}
		info, err := describe(path)
		if err != nil {
			return nil, err
		}
		files = append(files, info)
	}
	return files, syncDir(dir)
}

func describe(path string) (fileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return fileInfo{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return fileInfo{}, fmt.Errorf("read %s: %w", path, err)
	}
	return fileInfo{Name: filepath.Base(path), Bytes: n, SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}

func writeSynced(path string, data []byte) error {
	if err := os.WriteFile(path, data, fileMode); err != nil {
		return err
	}
	return syncFile(path)
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return f.Close()
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}
