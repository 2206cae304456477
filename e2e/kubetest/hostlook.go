package kubetest

import (
	"context"
	"fmt"
	"testing"
)

// find waits for a container of a Pod in namespace/name form to run, and returns it.
func (n *HostNode) find(t testing.TB, namespace, pod, name string) (*container, *instance) {
	t.Helper()
	var c *container
	var i *instance
	Eventually(t, fmt.Sprintf("container %s of Pod %s/%s runs on %s", name, namespace, pod, n.Name), func(context.Context) (bool, any) {
		if c = n.container(namespace, pod, name); c == nil {
			return false, "no such Pod here"
		}
		i = c.running()
		return i != nil, c.status(false).State
	})
	return c, i
}

// PID is the process ID of a container's command, once it runs.
func (n *HostNode) PID(t testing.TB, namespace, pod, container string) int {
	t.Helper()
	_, i := n.find(t, namespace, pod, container)
	return i.pid
}

// Port is the port on this host that stands for a container port of a Pod, once its container runs.
func (n *HostNode) Port(t testing.TB, namespace, pod, container string, port int32) int {
	t.Helper()
	c, _ := n.find(t, namespace, pod, container)
	mine, ok := c.pod.mapped()[port]
	if !ok {
		t.Fatalf("Pod %s/%s declares no container port %d", namespace, pod, port)
	}
	return mine
}

// OOMKill ends a running container as the kernel does when it has used more memory than its limit.
func (n *HostNode) OOMKill(t testing.TB, namespace, pod, container string) {
	t.Helper()
	c, i := n.find(t, namespace, pod, container)
	c.set(func() { c.oom = true })
	i.kill()
}
