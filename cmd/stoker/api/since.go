package api

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseSince reads a moment in the past: a duration back from now, such as 90m or 7d, a day (its
// beginning, UTC), or a time as RFC 3339 writes it.
func ParseSince(s string, now time.Time) (time.Time, error) {
	if number, found := strings.CutSuffix(s, "d"); found {
		if days, err := strconv.ParseUint(number, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(days)), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil && !t.After(now) {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("since %q: allowed: how long ago (30m, 24h, 7d), a day (2026-11-27) or a time (2026-11-27T09:00:00Z), not in the future", s)
}
