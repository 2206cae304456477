// Command servers runs the two servers that operators may have already, or one of them: a plain NATS server with
// JetStream and a token, and a Temporal server. It prints their addresses as one line of JSON and runs until its
// standard input ends, so that it never outlives the test that started it. Killed and started again with the same
// directory and ports, it is a server that was away.
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
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	enumspb "go.temporal.io/api/enums/v1"

	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/cmd/stoker/embedded/temporald"
)

// startTimeout bounds the start of each server.
const startTimeout = time.Minute

// Names of the servers, for -only.
const (
	onlyNATS     = "nats"
	onlyTemporal = "temporal"
)

// addresses are what the test reads.
type addresses struct {
	NATS     string               `json:"nats,omitempty"` // with the token in it
	Temporal string               `json:"temporal,omitempty"`
	Keys     datadir.TemporalKeys `json:"keys"` // of Temporal's clients
}

// options are the flags.
type options struct {
	dir, token, only string
	ports            []int // NATS's, then Temporal's four
}

func main() {
	var o options
	var ports string
	flag.StringVar(&o.dir, "dir", "", "directory of the servers' files")
	flag.StringVar(&o.token, "token", "", "token that NATS clients present")
	flag.StringVar(&o.only, "only", "", "nats or temporal; both where it is empty")
	flag.StringVar(&ports, "ports", "", "five ports, separated by commas; free ones where it is empty")
	flag.Parse()
	err := o.setPorts(ports)
	if err == nil {
		err = o.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "servers:", err)
		os.Exit(1)
	}
}

// setPorts reads -ports.
func (o *options) setPorts(list string) (err error) {
	if list == "" {
		o.ports, err = freePorts(portsN)
		return err
	}
	for _, text := range strings.Split(list, ",") {
		port, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("-ports: %w", err)
		}
		o.ports = append(o.ports, port)
	}
	if len(o.ports) != portsN {
		return fmt.Errorf("-ports %s: %d wanted", list, portsN)
	}
	return nil
}

// portsN is how many ports both servers take.
const portsN = 5

func (o *options) run() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	var out addresses
	if o.only != onlyTemporal {
		ns, err := o.startNATS()
		if err != nil {
			return err
		}
		defer func() { ns.Shutdown(); ns.WaitForShutdown() }()
		out.NATS = fmt.Sprintf("nats://%s@%s", o.token, ns.Addr())
	}
	stop := func() error { return nil }
	if o.only != onlyNATS {
		ts, err := o.startTemporal(ctx)
		if err != nil {
			return err
		}
		out.Temporal, out.Keys = ts.Address(), datadir.TemporalKeysOf(o.dir)
		stop = func() error {
			ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
			defer cancel()
			return ts.Stop(ctx)
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, os.Stdin) // until the test is gone
	return errors.Join(err, stop())
}

func (o *options) startTemporal(ctx context.Context) (*temporald.Server, error) {
	p := o.ports[1:]
	return temporald.Start(ctx, temporald.Options{
		DB: filepath.Join(o.dir, "temporal.db"), Keys: datadir.TemporalKeysOf(o.dir), Namespace: "default", SearchAttributes: map[string]enumspb.IndexedValueType{},
		Ports:  temporald.Ports{Frontend: p[0], History: p[1], Matching: p[2], Worker: p[3]},
		Logger: slog.New(slog.DiscardHandler),
	})
}

func (o *options) startNATS() (*server.Server, error) {
	ns, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: o.ports[0], JetStream: true, StoreDir: filepath.Join(o.dir, "nats"), Authorization: o.token,
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
