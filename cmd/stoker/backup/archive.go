package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"
)

// Format and FormatVersion say what the file is. The version grows when an older program could
// not restore it.
const (
	Format        = "stoker-backup"
	FormatVersion = 1
)

// Names of the first and last file.
const (
	headerName    = "backup.json"
	checksumsName = "checksums.json"
)

const (
	fileMode = 0o600
	dirMode  = 0o700

	// maxJSON bounds the files that are read into memory, in bytes: the header and the list of
	// checksums, some hundred bytes a file.
	maxJSON = 16 << 20
)

// Header is the first file.
type Header struct {
	Format  string    `json:"format"`
	Version int       `json:"version"`
	Stoker  string    `json:"stoker"` // version of the program
	Created time.Time `json:"created"`
	Streams []string  `json:"streams"`
}

// Checksums is the last file: that it is there says that nothing is missing.
type Checksums struct {
	Files []File            `json:"files"`
	Last  map[string]uint64 `json:"last"` // numbers of the streams' newest messages, at the end of the backup
}

// File is one file before.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Writer writes a backup.
type Writer struct {
	gz    *gzip.Writer
	tar   *tar.Writer
	now   time.Time
	files []File
}

// NewWriter begins a backup with its header.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	gz, err := gzip.NewWriterLevel(w, gzip.BestSpeed) // streams come compressed
	if err != nil {
		return nil, err
	}
	out := &Writer{gz: gz, tar: tar.NewWriter(gz), now: h.Created}
	h.Format, h.Version = Format, FormatVersion
	return out, out.addJSON(headerName, h)
}

// Add writes a file of a known size.
func (w *Writer) Add(name string, size int64, r io.Reader) error {
	h := &tar.Header{Name: name, Mode: fileMode, Size: size, ModTime: w.now, Format: tar.FormatPAX}
	if err := w.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w.tar, sum), r); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	w.files = append(w.files, File{name, size, hex.EncodeToString(sum.Sum(nil))})
	return nil
}

func (w *Writer) addJSON(name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return w.addBytes(name, data)
}

func (w *Writer) addBytes(name string, data []byte) error {
	return w.Add(name, int64(len(data)), bytes.NewReader(data))
}

// Close ends the backup with its checksums.
func (w *Writer) Close(last map[string]uint64) error {
	if err := w.addJSON(checksumsName, Checksums{Files: w.files, Last: last}); err != nil {
		return err
	}
	return errors.Join(w.tar.Close(), w.gz.Close())
}

// Extract reads a backup into an empty directory and checks it. The directory may hold files of
// it when an error is returned.
func Extract(r io.Reader, into *os.Root) (Header, Checksums, error) {
	x := extraction{into: into}
	gz, err := gzip.NewReader(r)
	if err != nil {
		return x.header, x.sums, fmt.Errorf("%w: no gzip: %w", ErrNoBackup, err)
	}
	t := tar.NewReader(gz)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = x.take(h, t)
		} else {
			err = fmt.Errorf("%w: it ends early or is garbled: %w", ErrNoBackup, err)
		}
		if err != nil {
			return x.header, x.sums, err
		}
	}
	if _, err := io.Copy(io.Discard, gz); err != nil { // up to its own checksum
		return x.header, x.sums, fmt.Errorf("%w: it ends early or is garbled: %w", ErrNoBackup, err)
	}
	return x.header, x.sums, x.check()
}

// extraction is a backup as it is read.
type extraction struct {
	into   *os.Root
	header Header
	files  []File
	sums   Checksums
	ended  bool
}

func (x *extraction) take(h *tar.Header, r io.Reader) error {
	switch {
	case x.ended:
		return fmt.Errorf("%w: %q comes after the checksums", ErrNoBackup, h.Name)
	case h.Typeflag != tar.TypeReg || !plain(h.Name):
		return fmt.Errorf("%w: %q is no plain file below the directory", ErrNoBackup, h.Name)
	case len(x.files) == 0 && h.Name != headerName:
		return fmt.Errorf("%w: it begins with %q, want %s", ErrNoBackup, h.Name, headerName)
	}
	sum := sha256.New()
	if err := x.store(h.Name, io.TeeReader(r, sum)); err != nil {
		return err
	}
	if x.ended {
		return nil
	}
	x.files = append(x.files, File{h.Name, h.Size, hex.EncodeToString(sum.Sum(nil))})
	return nil
}

// plain tells whether a name is one that a backup has: relative, clean, without a way out.
func plain(name string) bool {
	return name == path.Clean(name) && filepath.IsLocal(name) && name != "."
}

// store puts a file where it belongs; what is about the backup itself is read instead.
func (x *extraction) store(name string, r io.Reader) error {
	switch name {
	case headerName:
		if err := readJSON(name, r, &x.header); err != nil {
			return err
		}
		return x.header.check()
	case checksumsName:
		x.ended = true
		return readJSON(name, r, &x.sums)
	}
	if err := x.into.MkdirAll(path.Dir(name), dirMode); err != nil {
		return err
	}
	f, err := x.into.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, r); err != nil {
		return errors.Join(fmt.Errorf("%w: %s: it ends early or is garbled: %w", ErrNoBackup, name, err), f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

func readJSON(name string, r io.Reader, v any) error {
	data, err := io.ReadAll(io.LimitReader(r, maxJSON))
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNoBackup, name, err)
	}
	return nil
}

func (h Header) check() error {
	switch {
	case h.Format != Format:
		return fmt.Errorf("%w: %s says %q, want %q", ErrNoBackup, headerName, h.Format, Format)
	case h.Version > FormatVersion:
		return fmt.Errorf("%w: format %d of stoker %s, this one reads up to %d; restore it with that version or a later one", ErrNewer, h.Version, h.Stoker, FormatVersion)
	}
	return nil
}

// check compares what was read with what was written.
func (x *extraction) check() error {
	if !x.ended {
		return fmt.Errorf("%w: it ends before %s: it is cut off, or was never finished", ErrNoBackup, checksumsName)
	}
	if slices.Equal(x.files, x.sums.Files) {
		return nil
	}
	for i, f := range x.files {
		if i >= len(x.sums.Files) || x.sums.Files[i] != f {
			return fmt.Errorf("%w: %s is not what was written", ErrNoBackup, f.Name)
		}
	}
	return fmt.Errorf("%w: %s is missing", ErrNoBackup, x.sums.Files[len(x.files)].Name)
}
