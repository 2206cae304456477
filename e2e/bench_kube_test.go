package e2e

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stoker.dev/stoker/cmd/stoker/bench"
	"stoker.dev/stoker/e2e/kubetest"
)

func TestBenchZeroCreatesPods(t *testing.T) {
	t.Parallel()
	const functions = 3
	c := kubetest.Start(t, kubetest.Options{Nodes: 1})
	r := measured[bench.ZeroReport](t, "zero", "--provider", "kubernetes", "--kubeconfig", c.Kubeconfig(), "--functions", "3", "--wakes", "3", "--at-once")
	if r.Provider != "kubernetes" || r.At != "once" || r.Functions != functions {
		t.Errorf("not what was asked for: %+v", r)
	}
	if r.Wakes != functions || r.Answered != functions || r.Lost != 0 {
		t.Errorf("%d wakes, %d answered, %d lost", r.Wakes, r.Answered, r.Lost)
	}
	if s, p, a := r.EventToStart, r.EventToPod, r.EventToAnswer; s.P50 <= 0 || p.Max <= s.P50 || p.P50 > p.Max || a.Max <= p.P50 {
		t.Errorf("times that contradict each other: start %+v, Pod %+v, answer %+v", s, p, a)
	}
	if r.CreateFloor.P50 <= 0 || r.CreateAtOnce.P50 <= 0 || r.UpdateFloor.P50 <= 0 || r.FloorAtOnce.P50 <= 0 {
		t.Errorf("floors that were not measured: %+v", r)
	}
	leftNothing(t, c)
}

func TestBenchScaleCountsPods(t *testing.T) {
	t.Parallel()
	const functions, each = 2, 3
	c := kubetest.Start(t, kubetest.Options{Nodes: 1})
	r := measured[bench.ScaleReport](t, "scale", "--provider", "kubernetes", "--kubeconfig", c.Kubeconfig(), "--replicas", "0", "--functions", "2", "--each", "3")
	out, in := r.Many.Out, r.Many.In
	if out.Changes != functions*each || in.Changes != functions*each || r.One.Replicas != 0 {
		t.Errorf("%d started, %d stopped, want %d of each and no function by itself", out.Changes, in.Changes, functions*each)
	}
	switch p := out.Pods; {
	case p == nil || in.Pods != nil:
		t.Errorf("Pods created on the way out %+v, on the way in %+v", p, in.Pods)
	case p.Count != functions*each || p.Created.P50 <= 0 || p.AllCreatedMS < p.Created.P50 || p.AllRunningMS > out.DoneMS:
		t.Errorf("Pods %+v of a step %+v", p, out)
	}
	if r.Many.Requests != 2*functions*each || r.Many.Answered != r.Many.Requests || r.Many.Lost != 0 || out.LedgerConflicts != 0 {
		t.Errorf("requests, answers or leases that do not add up: %+v", r.Many)
	}
	if m := r.Many.RSS; m.Before <= 0 || m.Running <= 0 || m.After <= 0 || r.Many.CreateFloor.Max <= 0 {
		t.Errorf("not measured: %+v", r.Many)
	}
	leftNothing(t, c)
}

// leftNothing looks for what a benchmark left in a cluster that nobody else uses.
func leftNothing(t *testing.T, c *kubetest.Cluster) {
	t.Helper()
	for name, list := range map[string]func() (int, error){
		"Pods": func() (int, error) {
			l, err := c.Client().CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
			return len(l.Items), err
		},
		"ConfigMaps with stopped IDs": func() (int, error) {
			l, err := c.Client().CoreV1().ConfigMaps("").List(t.Context(), metav1.ListOptions{LabelSelector: "stoker.dev/pool"})
			return len(l.Items), err
		},
	} {
		if n, err := list(); err != nil || n > 0 {
			t.Errorf("it left %d %s (%v)", n, name, err)
		}
	}
}
