package kubetest

import (
	"fmt"
	"path/filepath"
	"slices"
)

// Role is one program of the cluster's control plane.
type Role string

// The programs. KWOK plays the kubelets of simulated nodes.
const (
	Etcd              Role = "etcd"
	APIServer         Role = "kube-apiserver"
	Scheduler         Role = "kube-scheduler"
	ControllerManager Role = "kube-controller-manager"
	KWOK              Role = "kwok"
)

// startOrder names the programs in the order in which they are started; they are stopped in the opposite one, so
// that no one waits for a server that is gone.
var startOrder = []Role{Etcd, APIServer, Scheduler, ControllerManager, KWOK}

// NodeGrace is how long a node may be silent before it is NotReady, in seconds: so short that tests take seconds, and
// longer than a lease, which is renewed every second. A cluster's own default is 50.
const NodeGrace = 5

// The clients of the scheduler and the controller manager: their default of 20 to 50 requests per second makes
// everything ten times slower than these programs are, so nothing measured here says how fast a real cluster is.
const qps, burst = 500, 1000

// args are the command line of a role.
func (c *Cluster) args(role Role) []string {
	port := func(r Role) int { return c.ports[r] }
	file := func(name string) string { return filepath.Join(c.dir, name) }
	flags := []string{string(role)}
	switch role {
	case Etcd:
		url := fmt.Sprintf("http://127.0.0.1:%d", port(Etcd))
		return append(flags, "--name=kubetest", "--data-dir="+file("etcd"), "--listen-client-urls="+url,
			"--advertise-client-urls="+url, "--listen-peer-urls=http://127.0.0.1:0", "--unsafe-no-fsync", "--log-level=warn")
	case APIServer:
		flags = append(flags, apiServerFlags(file)...)
		return append(flags, fmt.Sprintf("--etcd-servers=http://127.0.0.1:%d", port(Etcd)),
			fmt.Sprintf("--secure-port=%d", port(APIServer)))
	case Scheduler:
		return append(flags, clientFlags(c, role, file)...)
	case ControllerManager:
		flags = append(flags, clientFlags(c, role, file)...)
		return append(flags, "--use-service-account-credentials=true", "--root-ca-file="+file(caFile),
			"--service-account-private-key-file="+file(accountKeyFile),
			fmt.Sprintf("--node-monitor-grace-period=%ds", NodeGrace), "--node-monitor-period=1s")
	case KWOK:
		return append(flags, "--kubeconfig="+file(string(role)+".kubeconfig"), "--config="+file(stagesFile))
	}
	panic("kubetest: role " + string(role) + " is unknown; the roles are constants of this package")
}

func apiServerFlags(file func(string) string) []string {
	return []string{
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
		"--tls-cert-file=" + file("apiserver.crt"), "--tls-private-key-file=" + file("apiserver.key"),
		"--cert-dir=" + file("certs"), "--client-ca-file=" + file(caFile),
		"--authorization-mode=Node,RBAC", "--allow-privileged=true",
		// Without these the scheduler and the controller manager log a missing bundle for ever.
		"--requestheader-client-ca-file=" + file(caFile), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + file(accountPubFile), "--service-account-signing-key-file=" + file(accountKeyFile),
		"--service-cluster-ip-range=10.96.0.0/16",
		"--kubelet-client-certificate=" + file("kubelet-client.crt"), "--kubelet-client-key=" + file("kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
	}
}

// clientFlags are what the scheduler and the controller manager have in common.
func clientFlags(c *Cluster, role Role, file func(string) string) []string {
	kubeconfig := file(string(role) + ".kubeconfig")
	return []string{
		"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", c.ports[role]), "--cert-dir=" + file(string(role)),
		"--leader-elect=false", fmt.Sprintf("--kube-api-qps=%d", qps), fmt.Sprintf("--kube-api-burst=%d", burst),
	}
}

// stopOrder is the opposite of [startOrder].
func stopOrder() []Role {
	order := slices.Clone(startOrder)
	slices.Reverse(order)
	return order
}

// health is where a role tells that it is ready, or "" if it does not.
func (c *Cluster) health(role Role) string {
	switch role {
	case Etcd:
		return fmt.Sprintf("http://127.0.0.1:%d/readyz", c.ports[role])
	case APIServer:
		return fmt.Sprintf("https://127.0.0.1:%d/readyz", c.ports[role])
	case Scheduler, ControllerManager:
		return fmt.Sprintf("https://127.0.0.1:%d/healthz", c.ports[role])
	case KWOK:
		return ""
	}
	return ""
}
