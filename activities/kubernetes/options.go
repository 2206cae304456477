package kubernetes

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"stoker.dev/stoker/activities"
)

// Limits of this provider.
const (
	// QPS and Burst are the client's own limits on requests per second. client-go's defaults of 5
	// and 10 would make a hundred Pods take twenty seconds; these let a burst of functions through
	// and leave the API server's priority and fairness to protect it from more.
	QPS   = 500
	Burst = 1000
	// callTimeout ends one call of the API server, well within an activity's five seconds.
	callTimeout = 4 * time.Second
	// syncTimeout is for the first list of nodes and Pods; a large cluster answers in seconds.
	syncTimeout = 30 * time.Second
	// ScheduleTimeout is how long a Pod may be refused by the node it was placed on before it is
	// given up, so that the ledger places another one. The scheduler answers within milliseconds
	// and tries again whenever a Pod on the node goes; what is still refused then lost its GPU to
	// somebody else.
	ScheduleTimeout = 10 * time.Second
	// faultTimeout is how long the containers of a rank may fail to be made for what does not pass by itself. A
	// registry may be away for a moment, and a Secret come late; all other ranks hold their GPUs meanwhile.
	faultTimeout = 5 * time.Minute
	// defaultReadyTimeout is that of a manifest without defaults.
	defaultReadyTimeout = 5 * time.Minute
)

// Options of a provider.
type Options struct {
	Client kubernetes.Interface
	// Namespace holds what is the platform's own: the IDs that must not start.
	Namespace string
	// Pool names the platform whose Pods these are; two platforms on one cluster need two.
	Pool string
	// Owner names this platform among those that may want the pool, the same after each restart; empty:
	// nobody is kept from it.
	Owner string
	// AgentImage is what the sidecar runs, and where ranks have their agent from; empty: [DefaultAgentImage].
	AgentImage string
	// AgentNATS, where it is set, is the broker's address as Pods reach it.
	AgentNATS string
	// Checkpoints is the volume of training jobs.
	Checkpoints Volume
	// PriorityClass of the Pods; empty: the cluster's default.
	PriorityClass string
	// Tolerations beside those every replica has, for nodes set apart by other taints.
	Tolerations []corev1.Toleration
	Logger      *slog.Logger
	Now         func() time.Time // nil: the machine's
	// Created, where it is set, is called once the API server has confirmed a new Pod, before
	// anything else is done: a benchmark takes the time.
	Created func(activities.ReplicaSpec)
}

func (o Options) complete() (Options, error) {
	if o.Client == nil || o.Namespace == "" || o.Pool == "" {
		return o, errors.New("a Kubernetes provider needs a client, a namespace and a pool")
	}
	if o.AgentImage == "" {
		o.AgentImage = DefaultAgentImage
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o, nil
}

// Connect makes a client from a kubeconfig file; with an empty path from where kubectl finds one,
// or as a Pod of the cluster does. It returns the namespace the configuration names, "default" if it names none.
func Connect(kubeconfig string) (kubernetes.Interface, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil)
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("kubeconfig %q: %w; give --kubeconfig a file that kubectl can use", kubeconfig, err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("kubeconfig %q: %w", kubeconfig, err)
	}
	client, err := NewClient(config)
	return client, namespace, err
}

// NewClient makes a client with this provider's limits.
func NewClient(config *rest.Config) (kubernetes.Interface, error) {
	c := rest.CopyConfig(config)
	c.QPS, c.Burst = QPS, Burst
	c.UserAgent = "stoker"
	return kubernetes.NewForConfig(c)
}
