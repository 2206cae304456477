package temporald

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.temporal.io/server/common/headers"
	"go.temporal.io/server/schema/sqlite"
)

// stampName is the file beside the database that says what wrote it.
const stampName = "temporal.version"

// stamp is written with the database, because Temporal itself neither checks nor migrates
// the schema of a SQLite file.
type stamp struct {
	Server     string `json:"server"` // newest Temporal server that used the file
	Schema     string `json:"schema"`
	Visibility string `json:"visibility"`
}

func currentStamp() stamp {
	return stamp{Server: headers.ServerVersion, Schema: sqlite.Version, Visibility: sqlite.VisibilityVersion}
}

func stampPath(db string) string { return filepath.Join(filepath.Dir(db), stampName) }

func writeStamp(db string) error {
	data, err := json.Marshal(currentStamp())
	if err != nil {
		return err
	}
	err = os.WriteFile(stampPath(db), append(data, '\n'), 0o600)
	if err == nil {
		err = syncFile(stampPath(db)) // an empty one after a power cut would refuse a good file
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	return nil
}

// checkStamp refuses a file with another schema, or one that a newer minor version has
// used; a newer server of the same schema takes the file over.
func checkStamp(db string) error {
	data, err := os.ReadFile(stampPath(db))
	if errors.Is(err, fs.ErrNotExist) {
		return incompatible(db, "it has no "+stampName+" beside it")
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	var have stamp
	if err := json.Unmarshal(data, &have); err != nil {
		return incompatible(db, stampName+" is unreadable")
	}
	want := currentStamp()
	if have.Schema != want.Schema || have.Visibility != want.Visibility {
		return incompatible(db, fmt.Sprintf("it has schema %s/%s of server %s, this binary needs %s/%s of server %s",
			have.Schema, have.Visibility, have.Server, want.Schema, want.Visibility, want.Server))
	}
	if newer(have.Server, want.Server) {
		return incompatible(db, fmt.Sprintf("server %s has used it, this binary holds the older %s", have.Server, want.Server))
	}
	if have == want {
		return nil
	}
	return writeStamp(db)
}

// newer compares major and minor; patch releases read each other's files.
func newer(a, b string) bool {
	var aMajor, aMinor, bMajor, bMinor int
	if _, err := fmt.Sscanf(a, "%d.%d", &aMajor, &aMinor); err != nil {
		return true
	}
	if _, err := fmt.Sscanf(b, "%d.%d", &bMajor, &bMinor); err != nil {
		return true
	}
	return aMajor > bMajor || aMajor == bMajor && aMinor > bMinor
}

func incompatible(db, why string) error {
	return fmt.Errorf("%w: %s: %s; %s", ErrIncompatible, db, strings.TrimSpace(why), rebuildHint(db))
}
