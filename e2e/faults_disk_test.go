package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// Sizes of the tests' disks, in MiB. The platform writes some 10 MiB of its own.
const (
	diskMiB  = 128
	imageMiB = 96
	markMiB  = 24
	lowMiB   = 12 // below the mark, with room to finish what was accepted
)

const mib = 1 << 20

// onDisk is a platform whose data directory is on a disk of its own.
func onDisk(t *testing.T, path string) *harness.Platform {
	t.Helper()
	return harness.Up(t, harness.Options{
		GPUs: 2, Dir: filepath.Join(path, "data"), Args: []string{"--disk-watermark", fmt.Sprint(markMiB, "Mi")},
	})
}

// TestDiskWatermarkRefusesNewWorkFirst fills the disk below the watermark while requests wait and run: those are
// finished, new ones and deploys are refused with the reason, by whichever door they come, until there is room.
func TestDiskWatermarkRefusesNewWorkFirst(t *testing.T) {
	t.Parallel()
	disk := harness.NewDisk(t, diskMiB)
	p := onDisk(t, disk.Path)
	f := p.Function("steady", "-delay", "300ms")
	f.Spec.Scaling = functions.Scaling{Max: 1, Slots: 1, KeepAlive: "10m"}
	p.Apply(f)
	mustInvoke(t, p, "steady", "while there is room")
	accepted := publishN(t, p, "steady", functions.Standard, 20)

	disk.Leave(lowMiB * mib)
	awaitStorage(t, p, http.StatusServiceUnavailable, "MiB are free")
	refusedEverywhere(t, p, "steady")
	contains(t, "/metrics", page(t, p, "/metrics"), "stoker_taking_work 0", "stoker_disk_free_bytes")
	for id, rec := range p.AwaitRecords("steady", accepted) {
		if rec.Status != events.StatusOK {
			t.Errorf("%s was accepted and ended with %s (%s): %s", id, rec.Status, rec.Cause, rec.Message)
		}
	}

	disk.MakeRoom()
	awaitStorage(t, p, http.StatusOK, "ready")
	mustInvoke(t, p, "steady", "there is room again")
	p.MustPublish(p.JetStream(), "steady", functions.Batch, "to a plain publisher too")
	p.Apply(p.Function("another"))
}

// awaitStorage waits until /readyz says what it should.
func awaitStorage(t *testing.T, p *harness.Platform, code int, text string) {
	t.Helper()
	harness.Eventually(t, fmt.Sprint("/readyz says ", code, " ", text), func() (bool, any) {
		resp, err := http.Get(p.Server.HTTP + "/readyz")
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return err == nil && resp.StatusCode == code && strings.Contains(string(body), text), resp.Status + " " + string(body)
	})
}

// page reads a page of the platform's.
func page(t *testing.T, p *harness.Platform, path string) string {
	t.Helper()
	resp, err := http.Get(p.Server.HTTP + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// refusedEverywhere tries every door.
func refusedEverywhere(t *testing.T, p *harness.Platform, name string) {
	t.Helper()
	resp, err := http.Post(p.Server.HTTP+"/functions/default/"+name, "application/json", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusInsufficientStorage || resp.Header.Get("Retry-After") == "" {
		t.Errorf("over HTTP: %s, Retry-After %q; want 507 and when to try again", resp.Status, resp.Header.Get("Retry-After"))
	}
	_, body := invoke(t, p, name, `{}`)
	var e struct{ Error api.Error }
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error.Code != http.StatusInsufficientStorage || e.Error.Cause != "disk-low" {
		t.Errorf("over NATS: %s (%v), want code 507 with cause disk-low", body, err)
	}
	js, err := jetstream.New(p.NATS())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	var refused jetstream.JetStreamError
	if _, err := harness.Publish(ctx, js, harness.Key(name), functions.Standard, "plain"); !errors.As(err, &refused) {
		t.Errorf("a plain publish: %v, want that the broker refuses it", err)
	}
	var full *api.Error
	if _, err := p.TryApply(p.Function("late")); !errors.As(err, &full) || full.Code != http.StatusInsufficientStorage {
		t.Errorf("a deploy: %v, want a refusal with code 507", err)
	}
}

// TestFullDiskLosesNothing fills the disk to the last byte under load. The broker cannot write any more; once there is
// room it goes on in the same process, and everything it ever acknowledged has its one record.
func TestFullDiskLosesNothing(t *testing.T) {
	t.Parallel()
	disk := harness.NewDisk(t, diskMiB)
	p := onDisk(t, disk.Path)
	f := p.Function("kept", "-delay", "10ms")
	f.Spec.Scaling.KeepAlive = "10m"
	f.Spec.Queue.Attempts, f.Spec.Queue.Deadline = 20, functions.Duration(10*time.Minute)
	p.Apply(f)
	load := startLoad(t, p, "kept")
	load.awaitProgress("while there is room")
	pid, agent := p.PID(), p.Get("kept").Replicas[0]

	for range 2 { // it works more than once
		disk.Leave(0)
		awaitStorage(t, p, http.StatusServiceUnavailable, "a write below")
		disk.MakeRoom()
		awaitStorage(t, p, http.StatusOK, "ready")
		load.awaitProgress("with room again")
	}
	accepted, tried := load.stop()
	t.Logf("%d publishes acknowledged of %d tried", len(accepted), tried)
	for id, rec := range p.AwaitRecords("kept", accepted) {
		if rec.Status != events.StatusOK {
			t.Errorf("%s: %s (%s): %s", id, rec.Status, rec.Cause, rec.Message)
		}
	}
	checkOneRecordEach(t, p, "kept", len(accepted), tried)
	if p.PID() != pid {
		t.Error("the platform is another process")
	}
	same(t, p, agent, p.Get("kept"))

	p.Apply(p.Function("after")) // Temporal wrote to the same disk
	mustInvoke(t, p, "after", "a wake once there is room")
}

// TestReadOnlyDataDirectory starts on a file system that is mounted read-only: one line says so and what to do.
func TestReadOnlyDataDirectory(t *testing.T) {
	t.Parallel()
	disk := harness.NewDisk(t, 32)
	p := harness.New(t, harness.Options{Dir: filepath.Join(disk.Path, "data")})
	if err := os.Mkdir(p.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", disk.Path, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	refusesInOneLine(t, p, p.Dir, "not writable", "read-only", "--data-dir")
}

// synced is longer than the platform's sync interval of two seconds: what was acknowledged before it survives a
// disk that loses what it was not told to keep.
const synced = 5 * time.Second

// TestDiskBreaks has the kernel make the file system read-only while requests wait, as it does after an error of the
// disk: new work is refused with the reason. The kernel drops what it had not yet written, as in a power cut; after
// the operator has repaired the disk and started the platform again, everything that was acknowledged a sync interval
// before has its record.
func TestDiskBreaks(t *testing.T) {
	t.Parallel()
	image := harness.NewImage(t, imageMiB)
	p := onDisk(t, image.Path)
	f := p.Function("kept", "-delay", "200ms")
	f.Spec.Scaling = functions.Scaling{Max: 1, Slots: 1, KeepAlive: "10m"}
	f.Spec.Queue.Attempts, f.Spec.Queue.Deadline = 20, functions.Duration(10*time.Minute)
	p.Apply(f)
	mustInvoke(t, p, "kept", "on a sound disk")
	image.Sync() // the broker does not sync what a stream is when it makes one
	// What is written within the last sync interval is not promised, as in a power cut: nothing runs meanwhile.
	pause(t, p, "kept", true)
	p.Await("kept", "nothing runs", func(f api.Function) bool { return len(f.Replicas) == 0 })
	accepted := publishN(t, p, "kept", functions.Standard, 60)
	harness.Hold(t, synced, "it waits", func() (bool, any) { return len(p.Get("kept").Replicas) == 0, nil })

	image.Break()
	awaitStorage(t, p, http.StatusServiceUnavailable, "a write below")
	resp, err := http.Post(p.Server.HTTP+"/functions/default/kept", "application/json", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusInsufficientStorage {
		t.Errorf("over HTTP: %s, want 507", resp.Status)
	}
	p.Interrupt()
	t.Logf("drained on a broken disk with exit code %d", p.Exit())
	image.Repair()
	p.Start()
	pause(t, p, "kept", false)
	for id, rec := range p.AwaitRecords("kept", accepted) {
		if rec.Status != events.StatusOK {
			t.Errorf("%s: %s (%s): %s", id, rec.Status, rec.Cause, rec.Message)
		}
	}
	mustInvoke(t, p, "kept", "on the repaired disk")
}

func pause(t *testing.T, p *harness.Platform, name string, paused bool) {
	t.Helper()
	if err := p.API.Pause(t.Context(), harness.Key(name), paused); err != nil {
		t.Fatal(err)
	}
}
