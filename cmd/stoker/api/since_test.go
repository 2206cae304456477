package api

import (
	"strings"
	"testing"
	"time"
)

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"90m":                       now.Add(-90 * time.Minute),
		"0s":                        now,
		"7d":                        now.AddDate(0, 0, -7),
		"2026-11-01":                time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		"2026-11-27T10:30:00+01:00": now.Add(-30 * time.Minute),
	} {
		if got, err := ParseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1h", "yesterday", "7", "7days", "-7d", "99999999d", "2026-11-28", "2026-13-01", "1d2h", "7d\nx"} {
		if got, err := ParseSince(text, now); err == nil || !strings.Contains(err.Error(), "allowed") {
			t.Errorf("%q: %v, %v; want a refusal", text, got, err)
		}
	}
}
