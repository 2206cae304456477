package kubernetes

import (
	"context"
	"maps"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
)

// blind is a provider that is told everything by its test.
func blind(t *testing.T) *Provider {
	t.Helper()
	o, err := Options{Client: unused{}, Namespace: "stoker", Pool: "default", Now: func() time.Time { return began }}.complete()
	if err != nil {
		t.Fatal(err)
	}
	nodes := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	ready := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}}
	ready.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	if err := nodes.Add(ready); err != nil {
		t.Fatal(err)
	}
	p := &Provider{o: o, replicas: map[string]*replica{}, stopped: newStoppedIDs(o), claim: &claim{o: o}, nodes: corelisters.NewNodeLister(nodes)}
	p.ctx, p.cancel = t.Context(), func() {}
	return p
}

// told is a Pod of one replica ID as the API server tells it at some version.
func told(uid types.UID, version string, change func(*corev1.Pod)) *corev1.Pod {
	p := scenario(change)
	p.UID, p.ResourceVersion = uid, version
	return p
}

func pendingPod(p *corev1.Pod) { p.Status.ContainerStatuses, p.Status.InitContainerStatuses = nil, nil }

func deletedPod(p *corev1.Pod) { stopped(p, 0) }

// boardState is what a provider says of the one replica it has, empty if it has none.
func boardState(p *Provider) activities.RunState {
	for _, s := range p.board.List() {
		return s.State
	}
	return ""
}

// dropped sees a Pod and takes it out of sight, within an operation that the result ends.
func dropped(p *Provider) (leave func()) {
	first := told("first", "10", pendingPod)
	r := p.take(first.Name)
	p.seen(first)
	p.drop(first.Name)
	return func() { p.leave(first.Name, r) }
}

// TestWhatIsOutOfSightIsNotHeardOfAgain: the watch comes late with what became of the first Pod, while a
// second one of the same name runs.
func TestWhatIsOutOfSightIsNotHeardOfAgain(t *testing.T) {
	p := blind(t)
	leave := dropped(p)
	second := told("second", "20", func(*corev1.Pod) {})
	p.seen(second)
	leave()
	late := told("first", "15", deletedPod)
	for _, step := range []func(){func() { p.seen(told("first", "11", pendingPod)) }, func() { p.seen(late) }, func() { p.vanished(late) }, func() { p.seen(second) }} {
		step()
		if s := boardState(p); s != activities.RunRunning {
			t.Fatalf("the replica that runs is said to be %q", s)
		}
	}
}

// TestWhatIsOutOfSightLeavesNothingBehind: the watch comes late.
func TestWhatIsOutOfSightLeavesNothingBehind(t *testing.T) {
	p := blind(t)
	dropped(p)()
	late := told("first", "15", deletedPod)
	p.seen(late)
	if s := boardState(p); s != "" {
		t.Errorf("what was forgotten is said to be %s", s)
	}
	p.vanished(late)
	if len(p.replicas) != 0 {
		t.Errorf("%d entries are left", len(p.replicas))
	}
}

// TestACopyOfAPodIsNobody: somebody brings a replica's Pod into another namespace, labels and all, and takes it away.
func TestACopyOfAPodIsNobody(t *testing.T) {
	p := blind(t)
	p.seen(told("own", "10", func(*corev1.Pod) {}))
	copied := told("copy", "20", func(pod *corev1.Pod) { pod.Namespace = "backup" })
	p.seen(copied)
	p.vanished(copied)
	p.seen(told("own", "30", func(*corev1.Pod) {}))
	if s := boardState(p); s != activities.RunRunning {
		t.Errorf("the replica that runs is said to be %q", s)
	}
}

// TestNewsOfAnEarlierPodIsNone: an ID that was started again is its newest Pod, in whatever order it is told.
func TestNewsOfAnEarlierPodIsNone(t *testing.T) {
	p := blind(t)
	p.seen(told("second", "20", func(*corev1.Pod) {}))
	late := told("first", "15", deletedPod)
	p.seen(late)
	p.vanished(late)
	if s := boardState(p); s != activities.RunRunning {
		t.Errorf("the replica that runs is said to be %q", s)
	}
}

// TestSinceWhenARankFails: what passes in between is forgotten, so that another failure has its time, too.
func TestSinceWhenARankFails(t *testing.T) {
	p := blind(t)
	now := began
	p.o.Now = func() time.Time { return now }
	p.closed = true // nobody acts on it
	version := 10
	see := func(after time.Duration, reason string) time.Time {
		now = began.Add(after)
		version++
		p.seen(told("own", strconv.Itoa(version), func(pod *corev1.Pod) {
			pod.Labels[LabelFunction], pod.Status.Phase = rankSpec().Key.Name, corev1.PodPending
			pod.Status.ContainerStatuses[0].State = waiting(reason, "")
		}))
		return p.replicas[scenario(pendingPod).Name].failing
	}
	for _, c := range []struct {
		after  time.Duration
		reason string
		since  time.Duration // 0: it does not
	}{
		{time.Minute, "ContainerCreating", 0},
		{2 * time.Minute, "ErrImagePull", 2 * time.Minute},
		{3 * time.Minute, "ImagePullBackOff", 2 * time.Minute},
		{4 * time.Minute, "PodInitializing", 0},
		{5 * time.Minute, "CreateContainerConfigError", 5 * time.Minute},
	} {
		want := time.Time{}
		if c.since > 0 {
			want = began.Add(c.since)
		}
		if got := see(c.after, c.reason); !got.Equal(want) {
			t.Errorf("%s after %v: it fails since %v, want %v", c.reason, c.after, got, want)
		}
	}
}

// lists counts how often all Pods are looked through.
type lists struct {
	kubernetes.Interface
	n int
}

func (l *lists) CoreV1() typedcorev1.CoreV1Interface     { return listsCore{l: l} }
func (c listsCore) Pods(string) typedcorev1.PodInterface { return listsPods{l: c.l} }

type listsCore struct {
	typedcorev1.CoreV1Interface
	l *lists
}

type listsPods struct {
	typedcorev1.PodInterface
	l *lists
}

func (p listsPods) List(context.Context, metav1.ListOptions) (*corev1.PodList, error) {
	p.l.n++
	return &corev1.PodList{}, nil
}

// TestWhatWasNeverStartedIsNotLookedFor: a gang of 512 ranks that was refused must not cost 512 looks at every Pod.
func TestWhatWasNeverStartedIsNotLookedFor(t *testing.T) {
	for _, c := range []struct {
		name  string
		age   time.Duration // of the platform
		doubt bool          // its creation was not answered
		want  int
	}{
		{"nobody asked for it", time.Hour, false, 0},
		{"it may be there", time.Hour, true, 1},
		{"an earlier platform may have asked for it", time.Second, false, 1},
	} {
		p := blind(t)
		l := &lists{}
		p.o.Client, p.began = l, time.Now().Add(-c.age)
		r := p.take("train-1-0")
		r.doubt = c.doubt
		if err := p.findUnseen(t.Context(), r, "train-1-0"); err != nil || l.n != c.want {
			t.Errorf("%s: %d looks at all Pods, want %d (%v)", c.name, l.n, c.want, err)
		}
		p.leave("train-1-0", r)
	}
}

// TestWhatWasNotedKeepsItsGrace: the platform died, or the API server did, before a Pod was asked to go.
func TestWhatWasNotedKeepsItsGrace(t *testing.T) {
	noted := func(notes map[string]string, rank bool) *corev1.Pod {
		return scenario(func(p *corev1.Pod) {
			p.Spec.TerminationGracePeriodSeconds = new(int64(61))
			maps.Copy(p.Annotations, notes)
			if rank {
				p.Labels[LabelFunction] = rankSpec().Key.Name
			}
		})
	}
	for _, c := range []struct {
		name  string
		notes map[string]string
		rank  bool
		want  time.Duration
	}{
		{"a recall's", map[string]string{AnnotationAsked: AskedDrain, AnnotationGrace: "5s"}, true, 5 * time.Second},
		{"none: all that a rank has", map[string]string{AnnotationAsked: AskedDrain}, true, time.Minute},
		{"none: all that a replica has", map[string]string{AnnotationAsked: AskedDrain}, false, 61 * time.Second},
		{"an edited one", map[string]string{AnnotationAsked: AskedDrain, AnnotationGrace: "soon"}, false, 61 * time.Second},
		{"killed", map[string]string{AnnotationAsked: AskedKill, AnnotationGrace: "5s"}, true, 0},
		{"given up", map[string]string{AnnotationAsked: events.CauseImagePull}, true, 0},
	} {
		if got := graceOf(noted(c.notes, c.rank)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
