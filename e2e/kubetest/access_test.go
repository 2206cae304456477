package kubetest_test

import (
	"context"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"stoker.dev/stoker/e2e/kubetest"
)

// TestUsersMayDoWhatRBACGrantsThem shows that only the administrator is one.
func TestUsersMayDoWhatRBACGrantsThem(t *testing.T) {
	c := kubetest.Start(t, kubetest.Options{})
	c.Namespace(t, "team")
	for name, path := range map[string]string{
		"certificate": c.UserKubeconfig(t, "someone", "readers"),
		"account":     c.ServiceAccountKubeconfig(t, "team", "default"),
	} {
		t.Run(name, func(t *testing.T) {
			client := clientFrom(t, path)
			if _, err := client.CoreV1().Pods("team").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
				t.Fatalf("got %v, want it forbidden", err)
			}
			grant(t, c, name)
			kubetest.Eventually(t, "what was granted is allowed", func(ctx context.Context) (bool, any) {
				_, err := client.CoreV1().Pods("team").List(ctx, metav1.ListOptions{})
				return err == nil, err
			})
			if _, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
				t.Errorf("nodes: got %v, want it forbidden", err)
			}
		})
	}
	if _, err := clientFrom(t, c.Kubeconfig()).CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("the administrator's kubeconfig: %v", err)
	}
}

func clientFrom(t *testing.T, path string) kubernetes.Interface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// grant lets the user "someone"'s group or the ServiceAccount view its namespace.
func grant(t *testing.T, c *kubetest.Cluster, name string) {
	t.Helper()
	subject := rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "readers"}
	if name == "account" {
		subject = rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: "team", Name: "default"}
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{subject},
	}
	if _, err := c.Client().RbacV1().RoleBindings("team").Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}
