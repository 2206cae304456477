package backup

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"stoker.dev/stoker/cmd/stoker/datadir"
)

// maxDepth bounds the directories below a kept one: a secret is two levels down, and a link may
// lead back to where it lies.
const maxDepth = 8

// addKept adds what is kept as it is, under the name that it has in a data directory.
func (s Source) addKept(out *Writer) error {
	for _, k := range []struct{ name, path string }{
		{"keys", filepath.Join(s.Dir, "keys")},
		{"secrets", filepath.Join(s.Dir, "secrets")},
		{"users.yaml", cmp.Or(s.Users, datadir.UsersOf(s.Dir))},
	} {
		if _, err := os.Stat(k.path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := add(out, k.name, k.path, 0); err != nil {
			return fmt.Errorf("keep %s: %w", k.path, err)
		}
	}
	return nil
}

// add adds a file, or every file below a directory. It follows links, as whoever reads a secret
// does: their content is what counts.
func add(out *Writer, name, at string, depth int) error {
	info, err := os.Stat(at)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return addFile(out, name, at)
	}
	if depth == maxDepth {
		return fmt.Errorf("%s is more than %d directories deep: look for a link that leads back", at, maxDepth)
	}
	entries, err := os.ReadDir(at)
	if err != nil {
		return err
	}
	for _, e := range entries {
		// A mounted volume keeps its versions below such names, and links to the current one.
		if strings.HasPrefix(e.Name(), "..") {
			continue
		}
		if err := add(out, path.Join(name, e.Name()), filepath.Join(at, e.Name()), depth+1); err != nil {
			return err
		}
	}
	return nil
}

func addFile(out *Writer, name, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return out.addBytes(name, data)
}
