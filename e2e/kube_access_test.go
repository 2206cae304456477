package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/functions"
)

// TestKubernetesTwoPlatformsOnOnePool starts a second platform with the same pool, which must not touch the first one's
// Pods; once that one has gone it may have the pool.
func TestKubernetesTwoPlatformsOnOnePool(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	p := c.platform(t, harness.Options{})
	p.Start()
	f := p.Function("mine")
	f.Spec.Scaling = functions.Scaling{Min: 1, Max: 1, Slots: 4}
	p.Apply(f)
	p.Await("mine", "ready", func(f api.Function) bool { return f.Ready == 1 })
	before := uids(c.pods(t))
	second := c.platform(t, harness.Options{})
	out, err := second.Command(t.Context(), second.UpArgs()...).CombinedOutput()
	if err == nil {
		t.Errorf("a second platform had the pool")
	}
	contains(t, "the second platform", string(out), `"default" belongs to`, p.Dir, "--pool")
	mustInvoke(t, p, "mine", "and the first goes on")
	if after := uids(c.pods(t)); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("the Pods were %v and are %v", before, after)
	}
	p.Drain()
	second.Start()
	second.Apply(second.Function("theirs"))
	mustInvoke(t, second, "theirs", "x")
}

// TestKubernetesNotAllowed deploys into a namespace that nobody has let the platform into: it says what it may not, and
// works once it may.
func TestKubernetesNotAllowed(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.Namespace(t, "team-b")
	p := c.platform(t, harness.Options{})
	p.Start()
	f := p.Function("guest")
	f.Metadata.Namespace = "team-b"
	p.Apply(f)
	answered := make(chan error, 1)
	go func() {
		resp, err := http.Post(p.Server.HTTP+"/functions/team-b/guest", "application/json", strings.NewReader("{}"))
		if err == nil {
			err = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = fmt.Errorf("answered with %s", resp.Status)
			}
		}
		answered <- err
	}()
	harness.Eventually(t, "stoker explain says what is not allowed", func() (bool, any) {
		text, stderr, _ := tryStoker(t, p, "explain", "guest", "--namespace", "team-b")
		return strings.Contains(text, "kubectl auth can-i create pods -n team-b"), text + stderr
	})
	bindings := c.Client().RbacV1().RoleBindings
	b, err := bindings(harness.Namespace).Get(t.Context(), "stoker-functions", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.Namespace, b.ResourceVersion, b.UID = "team-b", "", ""
	if _, err := bindings("team-b").Create(t.Context(), b, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("once it is allowed: %v", err)
	}
}
