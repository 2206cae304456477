// Command servers runs the two servers that operators may have already: a plain NATS server with JetStream and a
// token, and a Temporal server. It prints their addresses as one line of JSON and runs until its standard input
// ends, so that it never outlives the test that started it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	enumspb "go.temporal.io/api/enums/v1"

	"stoker.dev/stoker/cmd/stoker/embedded/temporald"
)

// startTimeout bounds the start of each server.
const startTimeout = time.Minute

// addresses are what the test reads.
type addresses struct {
	NATS     string `json:"nats"` // with the token in it
	Temporal string `json:"temporal"`
}

func main() {
	dir := flag.String("dir", "", "directory of both servers' files")
	token := flag.String("token", "", "token that NATS clients present")
	flag.Parse()
	if err := run(*dir, *token); err != nil {
		fmt.Fprintln(os.Stderr, "servers:", err)
		os.Exit(1)
	}
}

func run(dir, token string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	ns, err := startNATS(dir, token)
	if err != nil {
		return err
	}
	defer func() { ns.Shutdown(); ns.WaitForShutdown() }()
	ports, err := freePorts(4)
	if err != nil {
		return err
	}
	ts, err := temporald.Start(ctx, temporald.Options{
		DB: filepath.Join(dir, "temporal.db"), Namespace: "default", SearchAttributes: map[string]enumspb.IndexedValueType{},
		Ports:  temporald.Ports{Frontend: ports[0], History: ports[1], Matching: ports[2], Worker: ports[3]},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	out := addresses{NATS: fmt.Sprintf("nats://%s@%s", token, ns.Addr()), Temporal: ts.Address()}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin) // until the test is gone
	stop, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return errors.Join(err, ts.Stop(stop))
}

func startNATS(dir, token string) (*server.Server, error) {
	ns, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: filepath.Join(dir, "nats"), Authorization: token,
		NoSigs: true, NoLog: true, MaxPayload: 8 << 20,
	})
	if err != nil {
		return nil, err
	}
	ns.Start()
	if !ns.ReadyForConnections(startTimeout) {
		return nil, errors.New("NATS is not ready")
	}
	return ns, nil
}

// freePorts asks the kernel for ports nobody listens on.
func freePorts(n int) ([]int, error) {
	var out []int
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close()
		out = append(out, ln.Addr().(*net.TCPAddr).Port)
	}
	return out, nil
}
