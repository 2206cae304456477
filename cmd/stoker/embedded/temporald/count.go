package temporald

import (
	"context"
	"database/sql"
	"fmt"
)

// CountEvents tells how many history events the workflows of each namespace have written, the
// server's own namespace included, by the file of a server that may be running: it reads, and
// the server notices nothing. What was deleted after its retention is not counted.
func CountEvents(ctx context.Context, path string) (map[string]int, error) {
	db, err := sql.Open(driver, "file:"+uriPath(path)+"?mode=ro&_pragma=busy_timeout=5000")
	if err != nil {
		return nil, fmt.Errorf("events in %s: %w", path, err)
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, `SELECT n.name, SUM(e.next_event_id - 1) FROM executions e JOIN namespaces n ON n.id = e.namespace_id GROUP BY n.name`)
	if err != nil {
		return nil, fmt.Errorf("events in %s: %w", path, err)
	}
	defer rows.Close()
	out := map[string]int{}
	for rows.Next() {
		var name string
		var n int
		if err := rows.Scan(&name, &n); err != nil {
			return nil, fmt.Errorf("events in %s: %w", path, err)
		}
		out[name] = n
	}
	return out, rows.Err()
}
