package local

import (
	"os"
	"path/filepath"
	"testing"
)

// The format is the kernel's: Documentation/admin-guide/cgroup-v2.rst.
func TestProcessesKilledForWantOfMemoryAreCounted(t *testing.T) {
	for text, want := range map[string]int{
		"low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n": 2,
		"low 0\nhigh 0\nmax 12\noom 3\noom_kill 0\n":                   0,
		"low 0\n":     0,
		"oom_kill \n": 0,
		"":            0,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "memory.events"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := oomKills(dir); got != want {
			t.Errorf("%q counts %d, want %d", text, got, want)
		}
	}
	if oomKills(t.TempDir()) != 0 || oomKills("") != 0 {
		t.Error("counted where nobody counts")
	}
}
