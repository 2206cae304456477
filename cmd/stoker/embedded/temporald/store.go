package temporald

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite" // also registers the database/sql driver
	"go.temporal.io/server/schema/sqlite"
	"google.golang.org/protobuf/types/known/durationpb"
)

// driver is the name under which Temporal's plugin registers SQLite with database/sql.
const driver = "sqlite"

// checkLimit is the size of a file, in bytes, up to which its pages are checked at the
// start: some 0.3 s. A larger file is only opened and read from, so that the start stays
// quick.
const checkLimit = 32 << 20

// opened counts starts in this process. Temporal's plugin keeps a connection pool per data
// source name for the life of the process; a name of its own keeps a server from working on
// a file that was deleted and made anew.
var opened atomic.Int64

// sqlConfig: one connection, since Temporal's transactions read first and write later, which
// SQLite answers with "database is locked" when another connection wrote in between. Measured,
// 400 workflows of five activities, 64 at a time: 13.6 s with one connection, 36.8 s and 297
// such errors with four. WAL
// with synchronous=NORMAL survives a killed process whole and a power cut consistently, less
// the last commits; FULL would fsync every one of them.
func sqlConfig(path string) *config.SQL {
	return &config.SQL{
		PluginName: sqliteplugin.PluginName, DatabaseName: uriPath(path), MaxConns: 1, MaxIdleConns: 1,
		ConnectAttributes: map[string]string{
			"mode": "rwc", "journal_mode": "wal", "synchronous": "1", "busy_timeout": "5000",
			"stoker_start": strconv.FormatInt(opened.Add(1), 10), // an unknown pragma does nothing
		},
	}
}

// uriPath escapes what SQLite would read as something else in a file: URI; Temporal's plugin
// puts the name in as it is.
func uriPath(path string) string {
	return strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
}

// prepareStore makes or checks the file and its namespace before the server opens it.
func prepareStore(ctx context.Context, cfg *config.Config, o Options) error {
	info, err := os.Stat(o.DB)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = createStore(ctx, o.DB)
	case err == nil:
		err = checkStore(ctx, o.DB, info.Size())
	}
	if err != nil {
		return err
	}
	ns, err := sqlite.NewNamespaceConfig(clusterName, o.Namespace, false, o.SearchAttributes)
	if err != nil {
		return fmt.Errorf("%w: namespace %q: %w", ErrStart, o.Namespace, err)
	}
	ns.Detail.Config.Retention = durationpb.New(retention)
	if err := sqlite.CreateNamespaces(cfg.Persistence.DataStores[sqliteplugin.PluginName].SQL, ns); err != nil {
		return corrupt(o.DB, err)
	}
	return nil
}

// createStore makes the schema in a file of another name, so that a start killed half-way
// leaves nothing that looks like a database. The stamp comes first for the same reason.
func createStore(ctx context.Context, path string) error {
	if err := writeStamp(path); err != nil {
		return err
	}
	fresh := path + ".new"
	for _, old := range []string{fresh, fresh + "-journal", path + "-wal", path + "-shm"} {
		if err := os.Remove(old); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: %w", ErrStart, err)
		}
	}
	if err := createSchema(ctx, fresh); err != nil {
		return fmt.Errorf("%w: making %s: %w", ErrStart, path, err)
	}
	return os.Rename(fresh, path)
}

func createSchema(ctx context.Context, path string) (err error) {
	// No journal and no fsync per statement: the file counts only once it is renamed.
	db, err := sql.Open(driver, "file:"+uriPath(path)+"?mode=rwc&_pragma=synchronous=0&_pragma=journal_mode=memory")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close(), syncFile(path)) }()
	if err := sqlite.SetupSchemaOnDB(execer{ctx: ctx, db: db}); err != nil {
		return err
	}
	return trimIndexes(ctx, db)
}

// listIndexes are the indexes that lists of workflows are asked by: newest first, by name, type or
// status, as Temporal's UI and this platform do. Temporal's schema has some fifty more, one for each search
// attribute anybody might have, and each of them is written with every change of every workflow. A list by
// another attribute reads them all, which are as many as the retention leaves.
//
// Measured, 500 starts of a workflow, 32 at a time, on two busy cores: 98 a second and 8.8 ms of processor
// time each with all indexes, 294 and 3.8 ms with these.
var listIndexes = []string{"default_idx", "by_workflow_id", "by_workflow_type", "by_status", "by_execution_time"}

// trimIndexes drops the others. Queries do not name an index, so a server that knows nothing of it works
// with the file as before.
func trimIndexes(ctx context.Context, db *sql.DB) error {
	names, err := indexNames(ctx, db)
	if err != nil {
		return err
	}
	for _, name := range names {
		if slices.Contains(listIndexes, name) {
			continue
		}
		if _, err := db.ExecContext(ctx, `DROP INDEX "`+name+`"`); err != nil {
			return err
		}
	}
	return nil
}

// indexNames are those of the table that lists of workflows are read from; the one of its key is not
// among them.
func indexNames(ctx context.Context, db *sql.DB) ([]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'executions_visibility' AND sql IS NOT NULL")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Sync(), f.Close())
}

// execer is as much of a Temporal database as SetupSchemaOnDB uses. The plugin's own would
// never close the file.
type execer struct {
	sqlplugin.AdminDB
	ctx context.Context //nolint:containedctx // 2026-11-23: of the one call this value lives for
	db  *sql.DB
}

func (e execer) Exec(stmt string, args ...any) error {
	_, err := e.db.ExecContext(e.ctx, stmt, args...)
	return err
}

// checkStore refuses a file that this binary should not open.
func checkStore(ctx context.Context, path string, size int64) error {
	if err := errors.Join(ctx.Err(), checkStamp(path)); err != nil {
		return err
	}
	db, err := sql.Open(driver, "file:"+uriPath(path)+"?mode=rw&_pragma=busy_timeout=5000")
	if err != nil {
		return corrupt(path, err)
	}
	defer db.Close()
	query := "SELECT count(*) FROM namespaces"
	if size <= checkLimit {
		query = "PRAGMA quick_check(1)"
	}
	var answer string
	if err := db.QueryRowContext(ctx, query).Scan(&answer); err != nil {
		return corrupt(path, err)
	}
	if size <= checkLimit && answer != "ok" {
		return corrupt(path, errors.New(answer))
	}
	_ = trimIndexes(ctx, db) // of a file that an earlier version made; they cost no more than time, where the disk is full
	return nil
}

func corrupt(path string, err error) error {
	return fmt.Errorf("%w: %s: %w; %s", ErrCorrupt, path, err, rebuildHint(path))
}

// rebuildHint is the way out of every state of the file.
func rebuildHint(path string) string {
	return fmt.Sprintf("delete it (rm %s*) and start again: functions and their scaling state are kept elsewhere, workflows are rebuilt, running replicas are adopted; only workflow histories are lost", path)
}
