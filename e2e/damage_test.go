package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// TestDamagedStreamsAreRefused changes one byte of a stored request while the platform is down. It does not start, says
// where and what to do, and changes nothing; told to accept the loss, it keeps the damaged file and answers the rest.
func TestDamagedStreamsAreRefused(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{GPUs: 1})
	p.Apply(p.Function("hurt"))
	if err := p.API.Pause(t.Context(), harness.Key("hurt"), true); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i := range 4 {
		ids = append(ids, p.MustPublish(p.JetStream(), "hurt", functions.Standard, fmt.Sprint("request number ", i)))
	}
	p.Drain()

	block := findBlock(t, p.Dir, "request number 1")
	whole, err := os.ReadFile(block)
	if err != nil {
		t.Fatal(err)
	}
	hurt := bytes.Replace(whole, []byte("request number 1"), []byte("request number 7"), 1)
	if err := os.WriteFile(block, hurt, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it does not go away by trying again
		_, stderr, code := tryStoker(t, p, p.UpArgs()...)
		if code != 1 {
			t.Errorf("exit code %d, want 1\n%s", code, stderr)
		}
		contains(t, "the refusal", stderr, block, "does not match its checksum", "stoker restore", "--accept-loss")
	}
	if now, err := os.ReadFile(block); err != nil || !bytes.Equal(now, hurt) {
		t.Errorf("the damaged file was changed: %v", err)
	}

	again := harness.New(t, harness.Options{GPUs: 1, Dir: p.Dir, Args: []string{"--accept-loss"}})
	again.Start()
	if kept, _ := filepath.Glob(filepath.Join(p.Dir, "nats", "damaged", "*", "*.msgs", "*.blk")); len(kept) == 0 {
		t.Error("what is damaged was not kept")
	}
	if err := again.API.Pause(t.Context(), harness.Key("hurt"), false); err != nil {
		t.Fatal(err)
	}
	for id, rec := range again.AwaitRecords("hurt", []string{ids[0], ids[2], ids[3]}) {
		if rec.Status != events.StatusOK {
			t.Errorf("%s ended with %s (%s)", id, rec.Status, rec.Message)
		}
	}
}

// findBlock is the file in which JetStream keeps a message.
func findBlock(t *testing.T, dir, text string) string {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(dir, "nats", "jetstream", "*", "streams", "*", "msgs", "*.blk"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range blocks {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), text) {
			return path
		}
	}
	t.Fatalf("no block of %v holds %q", blocks, text)
	return ""
}
