package e2e

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"

	"stoker.dev/stoker/activities/kubernetes"
	"stoker.dev/stoker/deploy"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/e2e/kubetest"
)

// starter starts a platform somewhere: tests whose bodies take one run on this machine and on Kubernetes.
type starter func(*testing.T, harness.Options) *harness.Platform

// here starts a platform whose replicas are processes of this machine.
func here(t *testing.T, o harness.Options) *harness.Platform { t.Helper(); return harness.Up(t, o) }

// onCluster starts one whose replicas are Pods, on a cluster of its own.
func onCluster(t *testing.T, o harness.Options) *harness.Platform {
	t.Helper()
	p := newCluster(t, max(o.GPUs, 1)).platform(t, o)
	p.Start()
	return p
}

// Names on the test's clusters: the images that a host node knows, and the platform's account.
const (
	agentImage  = "e2e.example/stoker-agent:1"
	serverImage = "e2e.example/modelserver:1"
	holderImage = "e2e.example/holder:1" // somebody else's, which holds GPUs
	platformNS  = "stoker"

	checkpointClaim = "checkpoints" // of training jobs
	hostNode        = "host"
	hostProduct     = "NVIDIA-H200" // what the host node's GPUs are, unlike simulated ones
)

// cluster is Kubernetes with one node that is this machine.
type cluster struct {
	*kubetest.Cluster
	node   *kubetest.HostNode
	images map[string]kubetest.Image // what host nodes have
}

// newCluster starts a cluster whose node has so many GPUs, with what deploy/kubernetes/rbac.yaml allows a platform.
func newCluster(t *testing.T, gpus int) *cluster {
	t.Helper()
	c := &cluster{Cluster: kubetest.Start(t, kubetest.Options{}), images: map[string]kubetest.Image{
		agentImage:  {Entrypoint: []string{harness.Bin(t, harness.Agent)}},
		serverImage: {Entrypoint: []string{harness.Bin(t, harness.ModelServer)}},
		holderImage: {Entrypoint: []string{"/bin/sleep", "1000"}},
	}}
	c.node = c.hostNode(t, hostNode, gpus)
	c.Namespace(t, platformNS)
	c.apply(t, deploy.RBAC)
	return c
}

// hostNode adds a node that is this machine.
func (c *cluster) hostNode(t *testing.T, name string, gpus int) *kubetest.HostNode {
	t.Helper()
	return c.AddHostNode(t, kubetest.NodeSpec{Name: name, GPUs: gpus, Product: hostProduct}, c.images)
}

// platform prepares `stoker up` with a ServiceAccount's rights.
func (c *cluster) platform(t *testing.T, o harness.Options) *harness.Platform {
	t.Helper()
	return c.platformVia(t, o, c.RESTConfig().Host)
}

// platformVia prepares one that reaches the API server at another address.
func (c *cluster) platformVia(t *testing.T, o harness.Options, server string) *harness.Platform {
	t.Helper()
	kubeconfig := c.ServiceAccountKubeconfig(t, platformNS, "stoker")
	readdress(t, kubeconfig, server)
	o.Pods = &harness.Pods{
		Image: serverImage, Files: filepath.Dir(c.node.Dir()),
		Args: []string{"--provider", "kubernetes", "--kubeconfig", kubeconfig, "--kube-namespace", platformNS, "--agent-image", agentImage,
			"--kube-checkpoints", checkpointClaim},
	}
	p := harness.New(t, o)
	t.Cleanup(func() { c.checkRaces(t) })
	return p
}

// readdress writes another server into a kubeconfig.
func readdress(t *testing.T, path, server string) {
	t.Helper()
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range config.Clusters {
		c.Server = server
	}
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
}

// checkRaces fails the test for every data race that an agent reported in its container's log.
func (c *cluster) checkRaces(t *testing.T) {
	logs, err := filepath.Glob(filepath.Join(filepath.Dir(c.node.Dir()), "*", "*", "*.log"))
	if err != nil {
		t.Error(err)
	}
	for _, path := range logs {
		harness.CheckRaces(t, path)
	}
}

// apply creates every object of a YAML file, as kubectl does.
func (c *cluster) apply(t *testing.T, text []byte) {
	t.Helper()
	client, err := dynamic.NewForConfig(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	known, err := restmapper.GetAPIGroupResources(c.Client().Discovery())
	if err != nil {
		t.Fatal(err)
	}
	mapper := restmapper.NewDiscoveryRESTMapper(known)
	for _, doc := range documentsOf(t, text) {
		kind := doc.GroupVersionKind()
		m, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Resource(m.Resource).Namespace(doc.GetNamespace()).Create(t.Context(), doc, metav1.CreateOptions{})
		if err != nil {
			t.Fatalf("create %s %s: %v", kind.Kind, doc.GetName(), err)
		}
	}
}

func documentsOf(t *testing.T, text []byte) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	for dec := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), len(text)); ; {
		doc := &unstructured.Unstructured{}
		err := dec.Decode(&doc.Object)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, doc)
	}
}

// pods lists the replicas' Pods as the API server has them, by name.
func (c *cluster) pods(t *testing.T) []corev1.Pod {
	t.Helper()
	list, err := c.Client().CoreV1().Pods(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{LabelSelector: kubernetes.LabelPool})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list.Items, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return list.Items
}

// awaitClean waits until nothing of the replicas is left on the cluster.
func (c *cluster) awaitClean(t *testing.T) {
	t.Helper()
	harness.Eventually(t, "Pods and Secrets gone", func() (bool, any) {
		secrets, err := c.Client().CoreV1().Secrets(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{LabelSelector: kubernetes.LabelPool})
		if err != nil {
			t.Fatal(err)
		}
		pods := c.pods(t)
		return len(pods)+len(secrets.Items) == 0 && len(c.node.FreeGPUs()) == len(c.node.GPUs()), []any{pods, len(secrets.Items)}
	})
}
