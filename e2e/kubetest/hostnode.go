package kubetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// loopback is the address of every host node and every Pod on it.
const loopback = "127.0.0.1"

// leaseSeconds is how long a host node's lease holds, below [NodeGrace]; it is renewed every renewEvery.
const leaseSeconds = 4

const renewEvery = time.Second

// Image says what runs on this host in place of a container image.
type Image struct {
	// Entrypoint is the command of containers that set none, by paths on this host.
	Entrypoint []string
	// Programs are the paths on this host of commands that Pods name, such as "/usr/bin/agent"; a command that is not
	// among them runs as it stands.
	Programs map[string]string
}

// HostNode is a node whose Pods really run, as processes of this host. The package's documentation says in what they
// differ from Pods on a real node.
type HostNode struct {
	Name string

	cluster *Cluster
	images  map[string]Image
	dir     string
	shim    string
	gpus    *devices
	kubelet *kubeletServer

	mu      sync.Mutex
	online  chan struct{}         // closed while the node can reach the API server
	offline context.CancelFunc    // ends the watch; nil while lost
	pods    map[types.UID]*podRun // every Pod that was seen here, ended ones too
	ports   map[int]bool          // of all Pods ever: a port is not given twice
	life    context.Context       //nolint:containedctx // 2026-11-27: the node's own, as the test's; its Pods outlive calls
	end     context.CancelFunc
	wrong   []error // what is the node's own fault, told when it ends
	running sync.WaitGroup
}

// AddHostNode adds a node whose Pods run as processes of this host, and waits until it is Ready. The spec's Name is its
// whole name, and its Count is not looked at. images says what an
// image stands for; a Pod with another one waits with ErrImagePull. All processes end with the test.
func (c *Cluster) AddHostNode(t testing.TB, spec NodeSpec, images map[string]Image) *HostNode {
	t.Helper()
	shim, err := shimOnce()
	if err != nil {
		t.Fatal(err)
	}
	spec = spec.withDefaults()
	n := &HostNode{
		Name: spec.Name, cluster: c, images: images, dir: filepath.Join(c.dir, "nodes", spec.Name), shim: shim,
		gpus: newDevices(spec), pods: map[types.UID]*podRun{}, ports: map[int]bool{},
	}
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if n.kubelet, err = serveKubelet(n); err != nil {
		t.Fatal(err)
	}
	n.life, n.end = context.WithCancel(context.WithoutCancel(t.Context())) // a test's context ends before its cleanups
	t.Cleanup(func() { n.close(t) })
	node := spec.node(n.Name)
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(n.kubelet.port)
	if _, err := c.client.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
		t.Fatalf("add node %s: %v", n.Name, err)
	}
	if err := n.connect(); err != nil {
		t.Fatal(err)
	}
	c.WaitNode(t, n.Name, true)
	return n
}

// Dir is where the files of the node's Pods are.
func (n *HostNode) Dir() string { return n.dir }

// Lose cuts the node off from the API server: it is NotReady after [NodeGrace], hears of nothing and tells nothing,
// and its processes go on. [HostNode.Return] ends that.
func (n *HostNode) Lose(t testing.TB) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.offline == nil {
		t.Fatalf("lose node %s: it is lost already", n.Name)
	}
	n.offline()
	n.offline, n.online = nil, make(chan struct{})
}

// Return connects a lost node again. What ended meanwhile is told, and what was deleted meanwhile ends.
func (n *HostNode) Return(t testing.TB) {
	t.Helper()
	if err := n.connect(); err != nil {
		t.Fatal(err)
	}
}

// connect begins to renew the lease, to tell that the node is Ready, and to watch its Pods.
func (n *HostNode) connect() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.offline != nil {
		return fmt.Errorf("connect node %s: it is connected", n.Name)
	}
	ctx, cancel := context.WithCancel(n.life)
	n.offline, n.online = cancel, make(chan struct{})
	close(n.online)
	n.running.Go(func() { n.beat(ctx) })
	n.running.Go(func() { n.watch(ctx) })
	for _, p := range n.pods {
		p.touch() // the controller manager marks the Pods of a silent node
	}
	return nil
}

// reachable waits until the node is connected.
func (n *HostNode) reachable(ctx context.Context) error {
	n.mu.Lock()
	online := n.online
	n.mu.Unlock()
	select {
	case <-online:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// beat says that the node lives, every second.
func (n *HostNode) beat(ctx context.Context) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		_ = n.renew(ctx) // the next beat tries again; the API server may be down for a test
		_ = n.tellReady(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n *HostNode) renew(ctx context.Context) error {
	leases := n.cluster.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	now, seconds := metav1.NowMicro(), int32(leaseSeconds)
	spec := coordinationv1.LeaseSpec{HolderIdentity: &n.Name, LeaseDurationSeconds: &seconds, RenewTime: &now}
	lease, err := leases.Get(ctx, n.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = leases.Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: n.Name}, Spec: spec}, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	lease.Spec = spec
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	return err
}

// tellReady writes the node's condition unless it stands there; the controller manager changes it when the lease runs
// out.
func (n *HostNode) tellReady(ctx context.Context) error {
	nodes := n.cluster.client.CoreV1().Nodes()
	node, err := nodes.Get(ctx, n.Name, metav1.GetOptions{})
	if err != nil || nodeReady(node) {
		return err
	}
	now := metav1.Now()
	var kept []corev1.NodeCondition
	for _, condition := range node.Status.Conditions {
		if condition.Type != corev1.NodeReady {
			kept = append(kept, condition)
		}
	}
	node.Status.Conditions = append(kept, corev1.NodeCondition{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "kubelet is posting ready status",
		LastHeartbeatTime: now, LastTransitionTime: now,
	})
	_, err = nodes.UpdateStatus(ctx, node, metav1.UpdateOptions{})
	return err
}

// port gives a Pod a port that no other has.
func (n *HostNode) port() (int, error) {
	for range portTries {
		ports, err := freePorts(1)
		if err != nil {
			return 0, err
		}
		n.mu.Lock()
		taken := n.ports[ports[0]]
		n.ports[ports[0]] = true
		n.mu.Unlock()
		if !taken {
			return ports[0], nil
		}
	}
	return 0, errors.New("no port is left for this node's Pods: use fewer")
}

// complain keeps an error that says that this node is not like a real one.
func (n *HostNode) complain(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wrong = append(n.wrong, err)
}

// close ends the node and everything on it.
func (n *HostNode) close(t testing.TB) {
	n.end()
	n.mu.Lock()
	pods := make([]*podRun, 0, len(n.pods))
	for _, p := range n.pods {
		pods = append(pods, p)
	}
	n.mu.Unlock()
	for _, p := range pods {
		p.killAll()
	}
	n.running.Wait()
	if err := errors.Join(append(n.wrong, n.kubelet.close())...); err != nil {
		t.Errorf("node %s: %v", n.Name, err)
	}
	if t.Failed() {
		for _, p := range pods {
			t.Log(p.logTails())
		}
	}
}
