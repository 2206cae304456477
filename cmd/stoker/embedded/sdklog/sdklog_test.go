package sdklog_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"stoker.dev/stoker/cmd/stoker/embedded/sdklog"
)

func TestInformationIsForDevelopers(t *testing.T) {
	for _, c := range []struct {
		level slog.Level
		want  []string
	}{
		{slog.LevelInfo, []string{"WARN", "ERROR"}},
		{slog.LevelDebug, []string{"DEBUG", "WARN", "ERROR"}},
	} {
		var out bytes.Buffer
		l := sdklog.New(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: c.level})).With("part", "temporal"))
		l.Info("Started Worker")
		l.Warn("slow")
		l.Error("broken")
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != len(c.want) {
			t.Fatalf("at %s: %d lines, want %d:\n%s", c.level, len(lines), len(c.want), &out)
		}
		for i, want := range c.want {
			if !strings.Contains(lines[i], "level="+want) || !strings.Contains(lines[i], "part=temporal") {
				t.Errorf("at %s: %q, want level %s", c.level, lines[i], want)
			}
		}
	}
}
