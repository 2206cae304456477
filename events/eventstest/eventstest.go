// Package eventstest runs a real NATS server with JetStream inside a test.
package eventstest

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// startWithin bounds the start of the server on a machine that runs other tests too.
const startWithin = 20 * time.Second

// Start runs a server on a free port with its streams in a directory of the test, and
// connects to it. Both end with the test.
func Start(t testing.TB) (*nats.Conn, jetstream.JetStream, string) {
	t.Helper()
	s := Server(t, nil)
	nc := Connect(t, s.ClientURL())
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js, s.ClientURL()
}

// Server runs a server whose options change may adjust, such as its port or its users.
func Server(t testing.TB, change func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT,
		JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
	}
	if change != nil {
		change(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(startWithin) {
		t.Fatalf("nats-server did not start within %v", startWithin)
	}
	return s
}

// Connect opens a plain connection that ends with the test.
func Connect(t testing.TB, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}
