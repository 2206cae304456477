package verify_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/cmd/stoker/embedded/natsd/verify"
)

const (
	serveEnv = "STOKER_TEST_SERVE_DIR"
	seedEnv  = "STOKER_TEST_SEED"
)

// kills is how often the server is killed; more find no more than these, in a time that every run can spare.
const kills = 12

// TestAKilledServerIsNotDamaged kills a server in the middle of writing, deleting and changing
// streams, again and again on one directory, at moments drawn from a printed seed.
func TestAKilledServerIsNotDamaged(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv(seedEnv), 10, 64); err == nil {
		seed = s
	}
	t.Logf("%s=%d", seedEnv, seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	var streams []string
	acknowledged := 0
	for i := range kills {
		acknowledged += busyUntilKilled(t, dir, time.Duration(dice.IntN(200))*time.Millisecond)
		r, err := verify.Check(dir, verify.Last{Streams: streams})
		if err != nil || r.Err() != nil {
			t.Fatalf("after kill %d: %v, %v", i+1, err, r.Err())
		}
		streams = r.Streams
	}
	if len(streams) == 0 || acknowledged == 0 {
		t.Fatalf("streams %v and %d messages: nothing was tested", streams, acknowledged)
	}
	t.Logf("%d kills, %d messages acknowledged", kills, acknowledged)
}

// busyUntilKilled runs this test binary as a server (see serveAndWork) and kills it some time after its first
// message. It returns how many messages were acknowledged.
func busyUntilKilled(t *testing.T, dir string, after time.Duration) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), serveEnv+"="+dir)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	n := 0
	for lines.Scan() {
		if n++; n == 1 {
			time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Exited() {
		t.Fatalf("the server ended by itself: %v", err)
	}
	return n
}

// serveAndWork is the other process: a server and its own client, which says a line for each message that was
// acknowledged, until it is killed.
func serveAndWork(dir string) error {
	_, js, err := serve(dir)
	if err != nil {
		return err
	}
	ctx := context.Background()
	cfg := jetstream.StreamConfig{Name: "WORK", Subjects: []string{"work.0"}, Retention: jetstream.WorkQueuePolicy}
	kv := jetstream.StreamConfig{Name: "KV", Subjects: []string{"kv.*"}, MaxMsgsPerSubject: 2, AllowMsgTTL: true}
	if _, err := js.CreateOrUpdateStream(ctx, kv); err != nil {
		return err
	}
	body := bytes.Repeat([]byte("0123456789abcdef"), 64<<10/16)
	for i := 0; ; i++ {
		cfg.Subjects = []string{"work.0", fmt.Sprintf("work.%d", 1+i%50)}
		stream, err := js.CreateOrUpdateStream(ctx, cfg)
		if err != nil {
			return err
		}
		if err := step(ctx, js, stream, body[:rand.IntN(len(body))]); err != nil {
			return err
		}
	}
}

// step writes, reads, acknowledges and deletes a few messages.
func step(ctx context.Context, js jetstream.JetStream, stream jetstream.Stream, body []byte) error {
	for i := range 10 {
		ack, err := js.PublishMsg(ctx, &nats.Msg{Subject: "work.0", Data: body})
		if err != nil {
			return err
		}
		fmt.Println(ack.Sequence)
		short := jetstream.WithMsgTTL(time.Second) // some run out in a later life
		if _, err := js.Publish(ctx, fmt.Sprintf("kv.%d", i), body[:len(body)/4], short); err != nil {
			return err
		}
	}
	c, err := stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "worker", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		return err
	}
	batch, err := c.Fetch(8, jetstream.FetchMaxWait(time.Second))
	if err != nil {
		return err
	}
	for m := range batch.Messages() {
		if err := m.DoubleAck(ctx); err != nil {
			return err
		}
	}
	return batch.Error()
}
