package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var created = time.Date(2026, 11, 27, 4, 0, 0, 0, time.UTC)

// small is a backup of two files.
func small(t *testing.T) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := NewWriter(&buf, Header{Stoker: "v1", Created: created, Streams: []string{"S"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"keys/admin.token": "secret\n", "streams/S/backup.json": "{}"} {
		if err := w.Add(name, int64(len(content)), strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(map[string]uint64{"S": 7}); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func extract(t *testing.T, data []byte) (Header, Checksums, string, error) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(filepath.Clean(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	h, sums, err := Extract(bytes.NewReader(data), root)
	return h, sums, dir, err
}

func TestABackupComesBack(t *testing.T) {
	h, sums, dir, err := extract(t, small(t))
	if err != nil {
		t.Fatal(err)
	}
	if h.Format != Format || h.Version != FormatVersion || h.Stoker != "v1" || !h.Created.Equal(created) || len(h.Streams) != 1 {
		t.Errorf("header %+v", h)
	}
	if sums.Last["S"] != 7 || len(sums.Files) != 3 {
		t.Errorf("checksums %+v", sums)
	}
	info, err := os.Stat(filepath.Join(dir, "keys", "admin.token"))
	if err != nil || info.Mode().Perm() != fileMode {
		t.Errorf("the token has %v, %v; want mode %o", info, err, fileMode)
	}
	data, err := os.ReadFile(filepath.Join(dir, "keys", "admin.token"))
	if err != nil || string(data) != "secret\n" {
		t.Errorf("the token is %q, %v", data, err)
	}
}

func TestACutOffBackupIsRefused(t *testing.T) {
	whole := small(t)
	for n := 0; n < len(whole); n += 23 {
		if _, _, _, err := extract(t, whole[:n]); !errors.Is(err, ErrNoBackup) {
			t.Fatalf("%d of %d bytes: got %v, want ErrNoBackup", n, len(whole), err)
		}
	}
}

func TestAFlippedBitIsRefused(t *testing.T) {
	whole := small(t)
	for i := 20; i < len(whole); i += 37 { // the gzip header's own fields have no checksum
		spoiled := bytes.Clone(whole)
		spoiled[i] ^= 1
		if _, _, _, err := extract(t, spoiled); err == nil {
			t.Fatalf("a bit of byte %d flipped: accepted", i)
		}
	}
}

// entry is one file of a hand-made archive.
type entry struct {
	tar.Header
	content string
}

func handMade(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	gz := gzip.NewWriter(&buf)
	w := tar.NewWriter(gz)
	for _, e := range entries {
		if e.Typeflag == 0 {
			e.Typeflag = tar.TypeReg
		}
		e.Size = int64(len(e.content))
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), gz.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func text(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestWhatIsNoBackupIsRefused(t *testing.T) {
	head := entry{tar.Header{Name: headerName}, text(t, Header{Format: Format, Version: 1})}
	end := entry{tar.Header{Name: checksumsName}, text(t, Checksums{})}
	file := func(name, content string) entry { return entry{tar.Header{Name: name}, content} }
	for name, tc := range map[string]struct {
		data []byte
		want error
		says string
	}{
		"text":                    {[]byte("hello"), ErrNoBackup, "gzip"},
		"nothing":                 {nil, ErrNoBackup, "gzip"},
		"another archive":         {handMade(t, file("README.md", "hi")), ErrNoBackup, "README.md"},
		"another format":          {handMade(t, file(headerName, `{"format":"x"}`)), ErrNoBackup, `"x"`},
		"a newer format":          {handMade(t, file(headerName, text(t, Header{Format: Format, Version: 2, Stoker: "v9"}))), ErrNewer, "v9"},
		"no header":               {handMade(t, file("keys/x", "y"), end), ErrNoBackup, "begins"},
		"no checksums":            {handMade(t, head, file("keys/x", "y")), ErrNoBackup, "cut off"},
		"a file that is not told": {handMade(t, head, file("keys/x", "y"), end), ErrNoBackup, "not what was written"},
		"something behind it":     {handMade(t, head, end, file("keys/x", "y")), ErrNoBackup, "after the checksums"},
		"a way out":               {handMade(t, head, file("../escaped", "y"), end), ErrNoBackup, "../escaped"},
		"a hidden way out":        {handMade(t, head, file("keys/../../escaped", "y"), end), ErrNoBackup, "escaped"},
		"an absolute name":        {handMade(t, head, file("/escaped", "y"), end), ErrNoBackup, "/escaped"},
		"a link":                  {handMade(t, head, entry{tar.Header{Name: "keys", Typeflag: tar.TypeSymlink, Linkname: "/tmp"}, ""}), ErrNoBackup, "plain file"},
		"a device":                {handMade(t, head, entry{tar.Header{Name: "dev", Typeflag: tar.TypeChar}, ""}), ErrNoBackup, "plain file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, dir, err := extract(t, tc.data)
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %v saying %q", err, tc.want, tc.says)
			}
			if _, err := os.Lstat(filepath.Join(filepath.Dir(dir), "escaped")); err == nil {
				t.Error("a file escaped")
			}
		})
	}
}

func TestAFileTwiceIsRefused(t *testing.T) {
	var buf bytes.Buffer
	w, err := NewWriter(&buf, Header{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Add("keys/x", 1, strings.NewReader("y")); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(nil); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := extract(t, buf.Bytes()); err == nil {
		t.Error("accepted")
	}
}
