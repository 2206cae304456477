package verify_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What the tests' store holds: SMALL in one block, with deleted messages and a consumer; BIG in
// several.
const (
	smallMsgs = 18 // 20, two of them deleted
	bigMsgs   = 10
	bigSize   = 900 << 10 // bytes of a message: four to a block of 4 MiB
)

// store is a server's directory.
type store struct{ dir string }

var original struct {
	sync.Once
	store
}

// TestMain removes the one store that all tests copy, and lets the test binary be the server that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(serveEnv); dir != "" {
		fmt.Fprintln(os.Stderr, serveAndWork(dir))
		os.Exit(1)
	}
	code := m.Run()
	if original.dir != "" {
		_ = os.RemoveAll(original.dir)
	}
	os.Exit(code)
}

// written is a store a server has written to and left in order.
func written(t *testing.T) store {
	t.Helper()
	original.Do(func() { original.store = write(t) })
	s := store{t.TempDir()}
	must(t, os.CopyFS(s.dir, os.DirFS(original.dir)))
	return s
}

func write(t testing.TB) store {
	t.Helper()
	dir, err := os.MkdirTemp("", "verify-")
	must(t, err)
	s := store{dir}
	ns, js := s.serve(t)
	for name, msgs := range map[string]struct {
		n    int
		body []byte
	}{"SMALL": {20, []byte("payload")}, "BIG": {bigMsgs, bytes.Repeat([]byte("0123456789"), bigSize/10)}} {
		subject := map[string]string{"SMALL": "small.*", "BIG": "big.*"}[name]
		stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
			Name: name, Subjects: []string{subject}, Retention: jetstream.WorkQueuePolicy,
		})
		must(t, err)
		for i := range msgs.n {
			m := &nats.Msg{Subject: subject[:len(subject)-1] + fmt.Sprint(i%3), Data: msgs.body}
			if i%2 == 0 {
				m.Header = nats.Header{"Nats-Msg-Id": {fmt.Sprint(name, i)}}
			}
			_, err := js.PublishMsg(t.Context(), m)
			must(t, err)
		}
		if name == "SMALL" {
			must(t, stream.DeleteMsg(t.Context(), 3))
			must(t, stream.SecureDeleteMsg(t.Context(), 5))
			_, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "worker", AckPolicy: jetstream.AckExplicitPolicy})
			must(t, err)
		}
	}
	ns.Shutdown()
	ns.WaitForShutdown()
	return s
}

func (s store) serve(t testing.TB) (*server.Server, jetstream.JetStream) {
	t.Helper()
	ns, js, err := serve(s.dir)
	must(t, err)
	t.Cleanup(func() { js.Conn().Close(); ns.Shutdown(); ns.WaitForShutdown() })
	return ns, js
}

func serve(dir string) (*server.Server, jetstream.JetStream, error) {
	ns, err := server.NewServer(&server.Options{
		JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true, DontListen: true,
		SyncInterval: 20 * time.Millisecond, // with it blocks are compacted, too
	})
	if err != nil {
		return nil, nil, err
	}
	ns.Start()
	if !ns.ReadyForConnections(30 * time.Second) {
		return nil, nil, errors.New("the server does not start")
	}
	nc, err := nats.Connect("", nats.InProcessServer(ns))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	return ns, js, err
}

// count is how many messages the server finds in a stream.
func (s store) count(t *testing.T, name string) int {
	t.Helper()
	ns, js := s.serve(t)
	stream, err := js.Stream(t.Context(), name)
	must(t, err)
	n := int(stream.CachedInfo().State.Msgs)
	ns.Shutdown()
	ns.WaitForShutdown()
	return n
}

// opens checks that the server takes the streams as they are.
func (s store) opens(t *testing.T, small bool) {
	t.Helper()
	_, js := s.serve(t)
	for _, name := range []string{"BIG", "SMALL"} {
		if _, err := js.Stream(t.Context(), name); err != nil && (name != "SMALL" || small) {
			t.Errorf("the server does not have %s: %v", name, err)
		}
	}
}

// path is a file of a stream.
func (s store) path(name string) string {
	return filepath.Join(s.dir, "jetstream", "$G", "streams", name)
}

func (s store) content(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(s.path(name))
	must(t, err)
	return data
}

func (s store) write(t *testing.T, name string, data []byte) {
	t.Helper()
	must(t, os.WriteFile(s.path(name), data, 0o600))
}

func (s store) remove(t *testing.T, name string) { t.Helper(); must(t, os.RemoveAll(s.path(name))) }

func (s store) move(t *testing.T, from, to string) {
	t.Helper()
	must(t, os.Rename(s.path(from), s.path(to)))
}

func (s store) copy(t *testing.T, from, to string) { t.Helper(); s.write(t, to, s.content(t, from)) }

// cut takes bytes off the end.
func (s store) cut(t *testing.T, name string, bytes int) {
	t.Helper()
	data := s.content(t, name)
	s.write(t, name, data[:len(data)-bytes])
}

func (s store) grow(t *testing.T, name string, by []byte) {
	t.Helper()
	s.write(t, name, append(s.content(t, name), by...))
}

// keep leaves the first records of a block.
func (s store) keep(t *testing.T, name string, records int) {
	t.Helper()
	data := s.content(t, name)
	s.write(t, name, data[:at(data, records)])
}

// flip changes one bit in the payload of a record.
func (s store) flip(t *testing.T, name string, record int) {
	t.Helper()
	data := s.content(t, name)
	data[at(data, record+1)-10] ^= 4
	s.write(t, name, data)
}

// at is where a record begins.
func at(data []byte, record int) int {
	pos := 0
	for range record {
		pos += int(binary.LittleEndian.Uint32(data[pos:]) &^ (1 << 31))
	}
	return pos
}

// age makes a file older than everything else.
func (s store) age(t *testing.T, name string) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(s.path(name), old, old))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
