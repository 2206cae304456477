package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stoker.dev/stoker/activities/kubernetes"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// TestKubernetes runs the main job's tests with Pods for replicas: real agents and model servers, what the platform's
// account may do there, and a real control plane.
func TestKubernetes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		body func(*testing.T, starter)
	}{
		{"Promise1NothingAcceptedIsLost", nothingAcceptedIsLost},
		{"Promise2AtZeroCostsZero", atZeroCostsZero},
		{"Promise3EveryDecisionSaysWhy", everyDecisionSaysWhy},
		{"Promise4AGPUHasOneHolder", aGPUHasOneHolder},
		{"Promise4TheLeaseOutlivesTheSignal", theLeaseOutlivesTheSignal},
		{"Promise5UnreachableIsNotFailed", unreachableIsNotFailed},
		{"StockClients", stockClients},
		{"MisbehavingServers", misbehavingServers},
		{"InterruptDrains", interruptDrains},
	} {
		t.Run(test.name, func(t *testing.T) { t.Parallel(); test.body(t, onCluster) })
	}
}

// TestKubernetesZeroToZero wakes a function whose model server is a Pod, scales it out under load and back to zero, and
// reads what the verbs say meanwhile.
func TestKubernetesZeroToZero(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	p := c.platform(t, harness.Options{})
	p.Start()
	f := p.Function("chat", "-delay", "400ms")
	f.Spec.Scaling = functions.Scaling{Max: 3, Slots: 1, KeepAlive: "20s"} // long enough for what is said of it to be read
	f.Spec.Scaling.WaitSLO.P95 = functions.Duration(time.Second)
	p.Apply(f)
	p.AwaitZero("chat")
	if pods := c.pods(t); len(pods) > 0 {
		t.Errorf("Pods at zero: %v", names(pods))
	}
	ids := publishN(t, p, "chat", functions.Standard, 40)
	all := p.Await("chat", "three replicas", func(f api.Function) bool { return f.Ready == 3 })
	checkSaid(t, c, p, all)
	for id, rec := range p.AwaitRecords("chat", ids) {
		if rec.Status != events.StatusOK || rec.Attempt != 1 {
			t.Errorf("%s: %s at attempt %d: %s", id, rec.Status, rec.Attempt, rec.Message)
		}
	}
	p.AwaitZero("chat")
	c.awaitClean(t)
	if left := p.Processes(); len(left) > 0 {
		t.Errorf("processes at zero: %v", left)
	}
	if got := p.Conflicts(); len(got) > 0 {
		t.Errorf("a GPU had two holders: %+v", got)
	}
	if f := p.Get("chat"); f.Failure != nil {
		t.Errorf("a replica that was let go counts as failed: %+v", f.Failure)
	}
}

// checkSaid reads what the verbs print about replicas that are Pods, and compares it with the cluster.
func checkSaid(t *testing.T, c *cluster, p *harness.Platform, f api.Function) {
	t.Helper()
	contains(t, "stoker get", stoker(t, p, "get"), "chat", "Serving")
	described, pods := stoker(t, p, "describe", "chat"), names(c.pods(t))
	contains(t, "stoker explain", stoker(t, p, "explain", "chat"), string(scale.ReasonWakeFromZero))
	for _, r := range f.Replicas {
		contains(t, "stoker describe", described, r.ID, hostNode)
		if !slices.Contains(pods, r.ID) {
			t.Errorf("replica %s is no Pod among %v", r.ID, pods)
		}
	}
	contains(t, "stoker status", stoker(t, p, "status"), "kubernetes")
}

func names(pods []corev1.Pod) []string {
	var out []string
	for _, p := range pods {
		out = append(out, p.Name)
	}
	return out
}

// uids tell Pods of one name apart.
func uids(pods []corev1.Pod) map[types.UID]string {
	out := map[types.UID]string{}
	for _, p := range pods {
		out[p.UID] = p.Name
	}
	return out
}

// TestKubernetesPlatformKilledUnderLoad kills the platform with its broker and starts it again: the Pods are the same
// ones, nothing is lost, and no replica counts as failed.
func TestKubernetesPlatformKilledUnderLoad(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	p := c.platform(t, harness.Options{})
	p.Start()
	f := p.Function("kept", "-delay", "30ms")
	f.Spec.Scaling = functions.Scaling{Min: 2, Max: 2, Slots: 4}
	p.Apply(f)
	p.Await("kept", "two replicas", func(f api.Function) bool { return f.Ready == 2 })
	before := uids(c.pods(t))
	load := startLoad(t, p, "kept")
	for round := range 3 {
		load.awaitProgress(fmt.Sprint("before kill ", round))
		p.Kill9()
		p.Start()
	}
	load.awaitProgress("after the last kill")
	accepted, tried := load.stop()
	for id, rec := range p.AwaitRecords("kept", accepted) {
		if rec.Status != events.StatusOK {
			t.Errorf("%s: %s (%s): %s", id, rec.Status, rec.Cause, rec.Message)
		}
	}
	checkOneRecordEach(t, p, "kept", len(accepted), tried)
	if after := uids(c.pods(t)); len(after) != 2 || fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("the Pods were %v and are %v", before, after)
	}
	if f := p.Get("kept"); f.Failure != nil || f.Ready != 2 {
		t.Errorf("%d ready, failure %+v", f.Ready, f.Failure)
	}
}

// TestKubernetesSecrets gives a function a Secret's value, and waits for one that comes late.
func TestKubernetesSecrets(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	p := c.platform(t, harness.Options{Env: []string{"AWS_SECRET_ACCESS_KEY=" + secretOfPlatform}})
	p.Start()
	f := p.Function("keeper")
	f.Spec.Runtime.Env = append(f.Spec.Runtime.Env,
		functions.EnvVar{Name: "HUB_TOKEN", ValueFrom: &functions.EnvSource{SecretKeyRef: &functions.SecretKeyRef{Name: "hub", Key: "token"}}},
		functions.EnvVar{Name: "PASSWORD", Value: secretInManifest},
		functions.EnvVar{Name: "LITERAL", Value: notExpanded + " $(PASSWORD) $$"},
	)
	f.Spec.Scaling.KeepAlive = "10m" // a Pod's output goes with it
	p.Apply(f)
	id := p.MustPublish(p.JetStream(), "keeper", functions.Standard, `{"do":"tell"}`)
	awaitSaid(t, p, "keeper", events.CauseSpawnFailed, "CreateContainerConfigError", `"hub" not found`)

	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "hub"}, StringData: map[string]string{"token": secretInFile}}
	if _, err := c.Client().CoreV1().Secrets(harness.Namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	rec := p.AwaitRecords("keeper", []string{id})[id]
	checkEnviron(t, string(rec.Body), "HOSTNAME", "NVIDIA_VISIBLE_DEVICES")
	contains(t, "a value with dollar signs", string(rec.Body), "LITERAL="+notExpanded+" $(PASSWORD) $$")
	pods, logs := c.pods(t), stoker(t, p, "logs", "keeper")
	contains(t, "stoker logs", logs, "downloading with token")
	if len(pods) != 1 || strings.Contains(fmt.Sprint(pods), secretInFile) {
		t.Errorf("one Pod without the secret is wanted: %v", pods)
	}
	said := strings.ReplaceAll(everythingSaid(t, p), logs, "") // a Pod's output is not masked: the kubelet keeps it
	for _, secret := range []string{secretInFile, secretInManifest, secretOfPlatform} {
		if strings.Contains(said, secret) {
			t.Errorf("%s was said:\n%s", secret, said)
		}
	}
}

// awaitSaid waits until `stoker explain` and `stoker describe` say all of it.
func awaitSaid(t *testing.T, p *harness.Platform, name string, wants ...string) {
	t.Helper()
	for _, verb := range []string{"explain", "describe"} {
		harness.Eventually(t, fmt.Sprintf("stoker %s %s says %q", verb, name, wants), func() (bool, any) {
			text, _, code := tryStoker(t, p, verb, name)
			if code != 0 {
				return false, text
			}
			if verb == "describe" { // one screen: the beginning is enough
				return strings.Contains(text, wants[0]), text
			}
			return !slices.ContainsFunc(wants, func(w string) bool { return !strings.Contains(text, w) }), text
		})
	}
}

// TestKubernetesBusyPodDeleted deletes a Pod as `kubectl delete` does while it answers: what is in flight finishes
// first, and what waits goes to another.
func TestKubernetesBusyPodDeleted(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	p := c.platform(t, harness.Options{})
	p.Start()
	f := p.Function("busy", "-delay", "3s")
	f.Spec.Scaling = functions.Scaling{Max: 1, Slots: 3, KeepAlive: "1m"}
	p.Apply(f)
	ids := publishN(t, p, "busy", functions.Standard, 6)
	busy := p.Await("busy", "three in flight", func(f api.Function) bool { return f.InFlight == 3 }).Replicas[0]
	if err := c.Client().CoreV1().Pods(harness.Namespace).Delete(t.Context(), busy.ID, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for id, rec := range p.AwaitRecords("busy", ids) {
		if rec.Status != events.StatusOK || rec.Attempt != 1 {
			t.Errorf("%s: %s at attempt %d: %s", id, rec.Status, rec.Attempt, rec.Message)
		}
	}
	for id, n := range harness.Runs(p.Books("busy")) {
		if n != 1 {
			t.Errorf("%s was run %d times: a drain fails nothing", id, n)
		}
	}
	failure := p.Await("busy", "its end told", func(f api.Function) bool { return f.Failure != nil }).Failure
	if failure.Cause != events.CausePodDeleted || failure.Replica != busy.ID {
		t.Errorf("ended by %+v, want %s of %s", failure, events.CausePodDeleted, busy.ID)
	}
	awaitSaid(t, p, "busy", events.CausePodDeleted, "deleted by somebody else")
	for _, pod := range c.pods(t) {
		if pod.Name == busy.ID {
			t.Errorf("the deleted Pod is still there, with finalizers %v", pod.Finalizers)
		}
	}
}

// TestKubernetesModelServerEnds kills a model server, and lets the kernel do it for want of memory: one failed attempt
// each, the cause, and another replica.
func TestKubernetesModelServerEnds(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	p := c.platform(t, harness.Options{})
	p.Start()
	f := p.Function("frail", "-delay", "15s") // so that its end comes while the request runs
	f.Spec.Scaling = functions.Scaling{Max: 1, Slots: 1, KeepAlive: "1m"}
	p.Apply(f)
	for _, end := range []struct {
		cause, says string
		do          func(replica string)
	}{
		{events.CauseCrashed, "code 137", func(string) {
			harness.Signal(t, p.Running(harness.ModelServer)[0].PID, unix.SIGKILL)
		}},
		{events.CauseOutOfMemory, "spec.resources.memory", func(replica string) {
			c.node.OOMKill(t, harness.Namespace, replica, kubernetes.ModelContainer)
		}},
	} {
		id := p.MustPublish(p.JetStream(), "frail", functions.Standard, "x")
		harness.Eventually(t, "the request runs", func() (bool, any) { return harness.Runs(p.Books("frail"))[id] == 1, nil })
		was := p.Get("frail")
		end.do(was.Replicas[0].ID)
		rec := p.AwaitRecords("frail", []string{id})[id]
		if rec.Status != events.StatusOK || rec.Attempt != 2 || rec.Replica == was.Replicas[0].ID {
			t.Errorf("%s: %s at attempt %d by %s: %s", end.cause, rec.Status, rec.Attempt, rec.Replica, rec.Message)
		}
		p.Await("frail", "its cause", func(f api.Function) bool {
			return f.Failure != nil && f.Failure.Cause == end.cause && f.Failure.ExitCode == 137 && f.Failed == was.Failed+1
		})
		awaitSaid(t, p, "frail", end.cause, end.says)
	}
	if got := p.Conflicts(); len(got) > 0 {
		t.Errorf("a GPU had two holders: %+v", got)
	}
}
