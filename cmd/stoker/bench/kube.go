package bench

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"stoker.dev/stoker/activities/kubernetes"
	"stoker.dev/stoker/cmd/stoker/config"
)

// Where replicas run.
const (
	providerSimulated  = "simulated"
	providerLocal      = "local"      // as processes of this machine
	providerKubernetes = "kubernetes" // as Pods, on simulated nodes
)

// purgeTimeout is for removing what a run left in the cluster; a thousand Pods take seconds.
const purgeTimeout = time.Minute

// place is the configuration of a benchmark's platform: in dir, on ports that are free, and with
// the provider's own settings and no other's.
func place(c config.Config, provider, dir string) config.Config {
	c.DataDir, c.Listen, c.RandomPorts, c.Provider, c.DrainGrace = dir, "127.0.0.1:0", true, provider, time.Second
	if provider != providerKubernetes {
		c.Kubeconfig, c.KubeNamespace, c.KubePriority, c.AgentImage, c.AgentNATSURL = "", "", "", "", ""
	}
	return c
}

// kube is the part of a cluster that a benchmark has for itself; nil on other providers.
type kube struct{ kubernetes.Options }

// openKube finds the cluster and takes a pool of its own, which the configuration is told of.
func openKube(c *config.Config) (*kube, error) {
	if c.Provider != providerKubernetes {
		return nil, nil //nolint:nilnil // 2026-11-27: another provider needs none
	}
	client, namespace, err := kubernetes.Connect(c.Kubeconfig)
	if err != nil {
		return nil, err
	}
	c.KubeNamespace, c.Pool = cmp.Or(c.KubeNamespace, namespace), fmt.Sprintf("bench-%08x", rand.Uint32())
	return &kube{kubernetes.Options{Client: client, Namespace: c.KubeNamespace, Pool: c.Pool}}, nil
}

// close removes what the pool left.
func (k *kube) close(ctx context.Context) error {
	if k == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, purgeTimeout)
	defer cancel()
	return kubernetes.Purge(ctx, k.Options)
}
