package kubetest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// launches bounds the attempts at starting with other ports when somebody takes one in between.
const launches = 3

// Options say what cluster to start. The zero value is a cluster without nodes.
type Options struct {
	// Nodes are simulated, with what [NodeSpec] says by default.
	Nodes int
	// Spec is what the nodes are like; its Name is the beginning of their names.
	Spec NodeSpec
}

// Cluster is a running control plane with its nodes. Its methods may be called at once from several goroutines.
type Cluster struct {
	binary string
	dir    string // keys, kubeconfigs, etcd's data, logs
	ca     *authority
	ports  map[Role]int
	rest   *rest.Config
	client kubernetes.Interface

	mu    sync.Mutex
	procs map[Role]*process
}

// Start starts a cluster that ends with the test. The test is skipped if the binary is not built; a program of the
// cluster that ends by itself fails it. After a failure the ends of all logs are shown.
func Start(t testing.TB, opts Options) *Cluster {
	t.Helper()
	binary := Binary(t)
	c, err := launch(t.Context(), binary, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c.LogsOnFailure(t)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if opts.Nodes > 0 {
		opts.Spec.Count = opts.Nodes
		c.AddNodes(t, opts.Spec)
	}
	return c
}

// Launch starts a cluster without nodes that several tests share, from a TestMain, or that a person uses, with its
// files in dir. [Cluster.Grow] adds nodes. [Cluster.Close] ends it; so does the end of this process, however that
// comes. It is an error wrapping [ErrMissing] if the binary is not built. Tests call [Cluster.LogsOnFailure].
func Launch(ctx context.Context, dir string) (*Cluster, error) {
	binary, err := find()
	if err != nil {
		return nil, err
	}
	return launch(ctx, binary, dir)
}

func launch(ctx context.Context, binary, dir string) (*Cluster, error) {
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	var failures []error
	for n := range launches {
		c := &Cluster{binary: binary, dir: filepath.Join(dir, fmt.Sprint("cluster-", n)), ca: ca, procs: map[Role]*process{}}
		err := c.start(ctx)
		if err == nil {
			return c, nil
		}
		failures = append(failures, err, c.Close(), errors.New(c.logTails()))
	}
	return nil, fmt.Errorf("the simulated cluster did not start: %w", errors.Join(failures...))
}

func (c *Cluster) start(ctx context.Context) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	ports, err := freePorts(len(startOrder))
	if err != nil {
		return err
	}
	c.ports = map[Role]int{}
	for i, role := range startOrder {
		c.ports[role] = ports[i]
	}
	if err := errors.Join(c.ca.writePKI(c.dir), c.writeAccess()); err != nil {
		return err
	}
	for _, role := range []Role{Etcd, APIServer} {
		if err := c.run(ctx, role); err != nil {
			return err
		}
	}
	for _, role := range startOrder[2:] { // these need only the API server, not each other
		if err := c.spawn(role); err != nil {
			return err
		}
	}
	for _, role := range startOrder[2:] {
		if err := c.healthy(ctx, role); err != nil {
			return err
		}
	}
	return until(ctx, "namespace default is ready for Pods", func(ctx context.Context) (bool, any) {
		return c.accountExists(ctx, "default"), nil
	})
}

// Close ends all programs and returns once they are gone. It is an error if one had ended by itself.
func (c *Cluster) Close() error {
	var errs []error
	for _, role := range stopOrder() {
		c.mu.Lock()
		p := c.procs[role]
		delete(c.procs, role)
		c.mu.Unlock()
		if p == nil {
			continue
		}
		if how := p.died(); how != "" {
			errs = append(errs, fmt.Errorf("%s ended by itself (%s); its log is %s", role, how, c.log(role)))
		}
		errs = append(errs, p.kill())
	}
	return errors.Join(errs...)
}

// Kill ends a program as a crash would, with SIGKILL, and returns once it is gone. [Cluster.StartRole] brings it back.
func (c *Cluster) Kill(t testing.TB, role Role) {
	t.Helper()
	c.mu.Lock()
	p := c.procs[role]
	delete(c.procs, role)
	c.mu.Unlock()
	if p == nil {
		t.Fatalf("kill %s: it does not run", role)
	}
	if err := p.kill(); err != nil {
		t.Fatal(err)
	}
}

// StartRole starts a program that was killed, on its port and data, and returns once it is ready.
func (c *Cluster) StartRole(t testing.TB, role Role) {
	t.Helper()
	var nodes []string
	if role == KWOK {
		nodes = c.disown(t)
	}
	if err := c.run(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	c.waitOwned(t, nodes)
}

// Suspend stops a program with SIGSTOP: its connections stay open and nobody answers. [Cluster.Resume] ends that.
func (c *Cluster) Suspend(t testing.TB, role Role) { t.Helper(); c.signal(t, role, unix.SIGSTOP) }

// Resume lets a suspended program go on.
func (c *Cluster) Resume(t testing.TB, role Role) { t.Helper(); c.signal(t, role, unix.SIGCONT) }

func (c *Cluster) signal(t testing.TB, role Role, sig unix.Signal) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.procs[role]
	if p == nil {
		t.Fatalf("signal %s to %s: it does not run", sig, role)
	}
	if err := p.signal(sig); err != nil {
		t.Fatal(err)
	}
}

func (c *Cluster) run(ctx context.Context, role Role) error {
	if err := c.spawn(role); err != nil {
		return err
	}
	return c.healthy(ctx, role)
}

func (c *Cluster) spawn(role Role) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.procs[role] != nil {
		return fmt.Errorf("start %s: it runs already", role)
	}
	p, err := startBound(c.binary, c.args(role), c.log(role))
	if err != nil {
		return err
	}
	c.procs[role] = p
	return nil
}

// healthy waits until a role says that it is ready, or has ended.
func (c *Cluster) healthy(ctx context.Context, role Role) error {
	url := c.health(role)
	if url == "" {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	client := unverified()
	defer client.CloseIdleConnections()
	return until(ctx, string(role)+" is ready", func(ctx context.Context) (bool, any) {
		c.mu.Lock()
		p := c.procs[role]
		c.mu.Unlock()
		if p == nil {
			cancel(errors.New("it was killed meanwhile"))
		} else if how := p.died(); how != "" {
			cancel(fmt.Errorf("it ended (%s)", how))
		}
		return answers(ctx, client, url)
	})
}

// unverified is a client for health checks and probes. It does not look at certificates, and neither does a kubelet:
// the scheduler, the controller manager and most servers in Pods sign their own.
func unverified() *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
}

func answers(ctx context.Context, client *http.Client, url string) (bool, any) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK, resp.Status
}

func (c *Cluster) log(role Role) string { return filepath.Join(c.dir, string(role)+".log") }
