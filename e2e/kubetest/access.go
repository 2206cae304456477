package kubetest

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// systemUsers are whom the cluster's own programs are to the API server, as in any cluster.
var systemUsers = map[Role]string{
	Scheduler: "system:kube-scheduler", ControllerManager: "system:kube-controller-manager",
}

// admins may do everything.
const admins = "system:masters"

// RESTConfig is an administrator's access to the cluster, without a limit on requests.
func (c *Cluster) RESTConfig() *rest.Config { return rest.CopyConfig(c.rest) }

// Client is an administrator's client, without a limit on requests.
func (c *Cluster) Client() kubernetes.Interface { return c.client }

// Kubeconfig is the path of an administrator's kubeconfig, for programs.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.dir, "admin.kubeconfig") }

// UserKubeconfig writes a kubeconfig for a user with a client certificate, who may do what RBAC grants the user or
// one of the groups, and returns its path.
func (c *Cluster) UserKubeconfig(t testing.TB, user string, groups ...string) string {
	t.Helper()
	config, err := c.userConfig(user, groups...)
	if err != nil {
		t.Fatal(err)
	}
	return writeKubeconfig(t, config)
}

// ServiceAccountKubeconfig writes a kubeconfig with a token of an existing ServiceAccount, as a Pod of it has, and
// returns its path. The token ends with the API server's default, after an hour.
func (c *Cluster) ServiceAccountKubeconfig(t testing.TB, namespace, name string) string {
	t.Helper()
	token, err := c.client.CoreV1().ServiceAccounts(namespace).
		CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("ask for a token of ServiceAccount %s/%s: %v", namespace, name, err)
	}
	return writeKubeconfig(t, &rest.Config{
		Host: c.rest.Host, BearerToken: token.Status.Token, TLSClientConfig: rest.TLSClientConfig{CAData: c.ca.pem},
	})
}

func writeKubeconfig(t testing.TB, config *rest.Config) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(kubeconfig(config), path); err != nil {
		t.Fatal(err)
	}
	return path
}

func (c *Cluster) userConfig(user string, groups ...string) (*rest.Config, error) {
	id, err := c.ca.user(user, groups...)
	if err != nil {
		return nil, err
	}
	return &rest.Config{
		Host: fmt.Sprintf("https://127.0.0.1:%d", c.ports[APIServer]),
		QPS:  -1, // no limit
		TLSClientConfig: rest.TLSClientConfig{
			CAData: c.ca.pem, CertData: id.cert, KeyData: id.key,
		},
	}, nil
}

func kubeconfig(config *rest.Config) clientcmdapi.Config {
	const name = "kubetest"
	return clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{name: {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{name: {
			ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Token: config.BearerToken,
		}},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}},
		CurrentContext: name,
	}
}

// writeAccess writes what the programs and [Cluster.Kubeconfig] need, and makes the administrator's client.
func (c *Cluster) writeAccess() error {
	for _, role := range []Role{Scheduler, ControllerManager, KWOK} {
		var groups []string
		if systemUsers[role] == "" {
			groups = []string{admins}
		}
		config, err := c.userConfig(cmp.Or(systemUsers[role], string(role)), groups...)
		if err != nil {
			return err
		}
		if err := clientcmd.WriteToFile(kubeconfig(config), filepath.Join(c.dir, string(role)+".kubeconfig")); err != nil {
			return err
		}
	}
	var err error
	if c.rest, err = c.userConfig("kubetest-admin", admins); err != nil {
		return err
	}
	if err := clientcmd.WriteToFile(kubeconfig(c.rest), c.Kubeconfig()); err != nil {
		return err
	}
	if c.client, err = kubernetes.NewForConfig(c.rest); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.dir, stagesFile), stages, 0o600)
}

// accountExists tells whether Pods can be created in the namespace: only once the controller manager has made its
// default ServiceAccount.
func (c *Cluster) accountExists(ctx context.Context, namespace string) bool {
	_, err := c.client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
	return err == nil
}

// Namespace makes a namespace that Pods can be created in.
func (c *Cluster) Namespace(t testing.TB, name string) string {
	t.Helper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := c.client.CoreV1().Namespaces().Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatalf("make namespace %s: %v", name, err)
	}
	Eventually(t, "the default ServiceAccount of namespace "+name, func(ctx context.Context) (bool, any) {
		return c.accountExists(ctx, name), nil
	})
	return name
}
