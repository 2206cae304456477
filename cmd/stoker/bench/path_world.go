package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// Limits of putting the processes up.
const (
	upTimeout  = time.Minute          // for the platform, and then for the replica
	stopWithin = 30 * time.Second     // for a process to go
	pathKeep   = "10s"                // retention of records: they expire while others are written
	secretEnv  = "STOKER_BENCH_TOKEN" // the raw worker's token; arguments can be read by everybody
)

var (
	pathKey = functions.Key{Namespace: "default", Name: "bench"}
	// rawKey is no function: its subjects and consumers are made as those of functions are, in
	// a shard of their own, and the platform knows nothing of them.
	rawKey   = functions.Key{Namespace: "default", Name: "bench-raw"}
	rawShard = events.Shards - 1
)

// pathWorld is everything that runs: the platform, its agent and the backend, the raw worker,
// and the callers, which are in this process.
type pathWorld struct {
	o       PathOptions
	dir     string
	up      *up
	worker  *child
	server  datadir.Server
	client  *events.Bus // of the callers, who are nobody in particular
	admin   *events.Bus // of the raw way, in the account that the streams are in
	http    *http.Client
	backend string // its URL
	// processes of the replica
	agentPID, backendPID int
	payload              []byte
	run                  string // tells the ids of this run
	callers              []*caller
	ways                 []way
}

func openPathWorld(ctx context.Context, o PathOptions) (w *pathWorld, err error) {
	w = &pathWorld{o: o, payload: jsonPayload(pathPayload), run: strconv.FormatInt(time.Now().UnixNano(), 36)}
	if w.dir, err = os.MkdirTemp("", "stoker-bench-"); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{w.startPlatform, w.deploy, w.startWorker, w.connect} {
		if err = step(ctx); err != nil {
			return nil, errors.Join(err, w.close(context.WithoutCancel(ctx)))
		}
	}
	w.ways = w.allWays()
	return w, nil
}

// jsonPayload is a JSON object of n bytes.
func jsonPayload(n int) []byte {
	const before, after = `{"prompt":"`, `"}`
	return []byte(before + strings.Repeat("x", n-len(before)-len(after)) + after)
}

// close ends what was started, in the order in which it depends on each other.
func (w *pathWorld) close(ctx context.Context) error {
	for _, bus := range []*events.Bus{w.client, w.admin} {
		if bus != nil {
			bus.Close()
		}
	}
	if w.http != nil {
		w.http.CloseIdleConnections()
	}
	err := w.worker.stop(ctx)
	if w.up != nil {
		err = errors.Join(err, w.up.stop(ctx))
	}
	return errors.Join(err, os.RemoveAll(w.dir))
}

// startPlatform runs `stoker up` as a process of its own.
func (w *pathWorld) startPlatform(ctx context.Context) (err error) {
	if w.up, err = startUp(ctx, upTimeout, w.o.Self, w.dir, "path", w.o.Config.Agent, w.o.Progress); err == nil {
		w.server = w.up.server
	}
	return err
}

// pathManifest has one replica, without a GPU, that stays.
const pathManifest = `{"apiVersion":"stoker.dev/v1","kind":"Function","metadata":{"name":%q,"namespace":%q},"spec":{
"runtime":{"local":{"command":%s}},"resources":{"gpus":0},
"scaling":{"min":1,"max":1,"slots":%d},"results":{"retention":%q}}}`

// deploy waits for the warm replica. Its model server is the backend, which direct calls ask too.
func (w *pathWorld) deploy(ctx context.Context) error {
	address := filepath.Join(w.dir, "backend")
	command, err := json.Marshal([]string{w.o.Self, "bench", "part", "backend", address})
	if err != nil {
		return err
	}
	text := fmt.Sprintf(pathManifest, pathKey.Name, pathKey.Namespace, command, PathSlots, pathKeep)
	if _, err := w.up.client.Apply(ctx, "bench", []byte(text), false); err != nil {
		return err
	}
	err = w.up.await(ctx, upTimeout, "serving", func() (bool, error) {
		fn, err := w.up.client.Get(ctx, pathKey)
		if err != nil || fn.Ready != 1 {
			return false, err
		}
		w.agentPID, w.backendPID = fn.Replicas[0].PID, fn.Replicas[0].ServerPID
		return true, nil
	})
	if err != nil {
		return err
	}
	at, err := os.ReadFile(address)
	w.backend = "http://" + string(at) + "/"
	return err
}

func (w *pathWorld) functionURL() string {
	return w.server.HTTP + "/functions/" + pathKey.Namespace + "/" + pathKey.Name
}

// startWorker makes a queue as functions have, and a process that pulls from it.
func (w *pathWorld) startWorker(ctx context.Context) (err error) {
	if w.admin, err = dialOwner(w.server.NATS, w.server.AdminToken); err != nil {
		return err
	}
	if err := errors.Join(w.admin.Deploy(ctx, rawKey, rawShard), w.admin.OpenQueue(ctx, rawKey, rawShard)); err != nil {
		return err
	}
	w.worker, err = startChild(w.o.Self, []string{secretEnv + "=" + w.server.AdminToken}, filepath.Join(w.dir, "worker.log"),
		"bench", "part", "worker", w.server.NATS)
	return err
}

// dialOwner connects as the platform's owner, who is answered where nobody else listens.
func dialOwner(url, token string) (*events.Bus, error) {
	return events.Connect(events.NATSAccess{URL: url, Token: token}, events.ConnectOptions{Name: "stoker bench", InboxPrefix: events.OwnerInbox(), Once: true})
}

// connect makes the callers: one connection to the broker for all, as in a service, and a
// connection to the backend for each, as HTTP wants it.
func (w *pathWorld) connect(ctx context.Context) (err error) {
	w.http = &http.Client{Transport: &http.Transport{MaxIdleConns: 2 * w.o.Callers, MaxIdleConnsPerHost: w.o.Callers}}
	if w.client, err = events.Connect(events.NATSAccess{URL: w.server.NATS}, events.ConnectOptions{Name: "stoker bench callers", Once: true}); err != nil {
		return err
	}
	for i := range w.o.Callers {
		c := &caller{number: i}
		if c.inbox, err = listen(w.client); err != nil {
			return err
		}
		if c.raw, err = listen(w.admin); err != nil {
			return err
		}
		w.callers = append(w.callers, c)
	}
	return errors.Join(w.client.Flush(ctx), w.admin.Flush(ctx))
}

// listen opens an inbox.
func listen(bus *events.Bus) (*events.Subscription, error) {
	return bus.Conn().SubscribeSync(bus.Conn().NewRespInbox())
}
