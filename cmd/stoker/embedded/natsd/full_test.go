package natsd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"stoker.dev/stoker/cmd/stoker/embedded/natsd/verify"
)

// smallDisk mounts a file system that is soon full. Mounting needs CAP_SYS_ADMIN.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("stoker-test", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("SKIP-COUNTED full disk: cannot mount a tmpfs here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// TestAFullDiskLosesNothingAcknowledged fills a real file system under a stream of requests and one of records, makes
// room, and restarts the broker under its clients: everything acknowledged is there, and what was not consumed stays.
func TestAFullDiskLosesNothingAcknowledged(t *testing.T) {
	dir, ctx := smallDisk(t, "24m"), testContext(t)
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 12<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, filepath.Join(dir, "nats"))
	nc, err := s.Connect(nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []jetstream.StreamConfig{
		{Name: "Q", Subjects: []string{"q"}, AllowDirect: true, Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew},
		{Name: "R", Subjects: []string{"r.*"}, AllowDirect: true},
	} {
		if _, err := js.CreateStream(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	took := fill(t, js)
	if err := s.Healthy(); err == nil {
		t.Error("a broker whose stream takes nothing more says that it is well")
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if ack := publish(js, "q", "too early"); ack != nil {
		t.Log("this server takes messages again by itself once there is room")
	}
	if err := s.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Healthy(); err != nil {
		t.Errorf("after the restart: %v", err)
	}
	awaitConnected(t, nc)
	for stream, want := range took {
		checkStored(t, js, stream, want)
	}
	if ack := publish(js, "q", "again"); ack == nil {
		t.Error("nothing is taken after the restart")
	}
}

// TestAFullDiskIsNoDamage ends the broker while its disk is full, as a kill or a stop would: the next start finds no
// damage in what the failed writes have left.
func TestAFullDiskIsNoDamage(t *testing.T) {
	dir, ctx := smallDisk(t, "24m"), testContext(t)
	s := start(t, dir)
	js := adminJS(t, s)
	for _, name := range []string{"Q", "R"} {
		if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{map[string]string{"Q": "q", "R": "r.*"}[name]}}); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, js)
	sound := func(when string, last verify.Last) {
		if r, err := verify.Check(dir, last); err != nil || r.Err() != nil {
			t.Errorf("%s: %v, %v", when, err, r.Err())
		}
	}
	sound("killed", verify.Last{})
	stop(t, s)
	sound("stopped", readLastRun(dir).last())
}

// fill publishes to both streams until neither takes anything, and returns what was acknowledged by sequence.
func fill(t *testing.T, js jetstream.JetStream) map[string]map[uint64]string {
	t.Helper()
	took := map[string]map[uint64]string{"Q": {}, "R": {}}
	refused := 0
	for n := 0; refused < 4; n++ {
		subject, stream := "q", "Q"
		if n%2 == 1 {
			subject, stream = fmt.Sprintf("r.%d", n), "R"
		}
		body := fmt.Sprintf("%s %d ", stream, n)
		ack := publish(js, subject, body+string(make([]byte, 128<<10)))
		if ack == nil {
			refused++
			continue
		}
		took[stream][ack.Sequence] = body
		refused = 0 // it was slow, not full
	}
	if len(took["Q"]) == 0 || len(took["R"]) == 0 {
		t.Fatalf("took %d and %d messages before the disk was full, want some of each", len(took["Q"]), len(took["R"]))
	}
	t.Logf("%d and %d messages acknowledged before the disk was full", len(took["Q"]), len(took["R"]))
	return took
}

// publish returns nil where no acknowledgement came.
func publish(js jetstream.JetStream, subject, body string) *jetstream.PubAck {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	ack, err := js.Publish(ctx, subject, []byte(body), jetstream.WithRetryAttempts(0))
	if err != nil {
		return nil
	}
	return ack
}

func awaitConnected(t *testing.T, nc *nats.Conn) {
	t.Helper()
	changed := nc.StatusChanged(nats.CONNECTED)
	defer nc.RemoveStatusListener(changed)
	if nc.IsConnected() {
		return
	}
	select {
	case <-changed:
	case <-time.After(patience):
		t.Fatalf("the client does not come back: %s", nc.Status())
	}
}

func checkStored(t *testing.T, js jetstream.JetStream, stream string, want map[uint64]string) {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	for seq, body := range want {
		m, err := s.GetMsg(t.Context(), seq)
		if err != nil || len(m.Data) < len(body) || string(m.Data[:len(body)]) != body {
			t.Errorf("%s, sequence %d: lost after it was acknowledged: %v", stream, seq, err)
		}
	}
}
