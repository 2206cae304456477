package kubernetes

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stoker.dev/stoker/activities"
	provider "stoker.dev/stoker/activities/kubernetes"
	"stoker.dev/stoker/e2e/kubetest"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/scale"
)

func quotaExceeded(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	ns := c.Namespace(t, "poor")
	quotas := c.Client().CoreV1().ResourceQuotas(ns)
	q := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "gpus"}, Spec: corev1.ResourceQuotaSpec{
		Hard: corev1.ResourceList{"requests.nvidia.com/gpu": resource.MustParse("1")},
	}}
	if _, err := quotas.Create(t.Context(), q, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the quota counts", func() bool {
		now, err := quotas.Get(t.Context(), "gpus", metav1.GetOptions{})
		return err == nil && len(now.Status.Hard) > 0
	})
	first := started(t, p, replica(ns, "gpu-0", "gpu-00"))
	second := replica(ns, "gpu-0", "gpu-01")
	if err := p.Start(t.Context(), second); !errors.Is(err, activities.ErrNotNow) || !strings.Contains(err.Error(), "exceeded quota: gpus") {
		t.Errorf("beyond the quota: %v", err)
	}
	if s := status(t, p, second.ID); s.ID != "" {
		t.Errorf("a refused start left %+v", s)
	}
	gone(t, p, first.ID)
	eventually(t, "a later start has room", func() bool { return p.Start(t.Context(), second) == nil })
	await(t, p, second.ID, activities.RunRunning)
}

func noNamespace(t *testing.T, _ *kubetest.Cluster, p *provider.Provider) {
	err := p.Start(t.Context(), replica("nowhere", "gpu-0", "gpu-00"))
	if !errors.Is(err, activities.ErrBadSpec) || !strings.Contains(err.Error(), "kubectl create namespace nowhere") {
		t.Errorf("no such namespace: %v", err)
	}
}

// refusedByNode is a start on a node that somebody else has filled since it was placed.
func refusedByNode(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	hold(t, c, "gpu-0", 8, "example/other")
	eventually(t, "eight foreign holders are seen", func() bool { return foreign(t, p) == 8 })
	r := replica("default", "gpu-0", "gpu-00")
	if err := p.Start(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cause is told while it waits", func() bool {
		s := status(t, p, r.ID)
		return s.State == activities.RunStarting && s.Cause == events.CauseUnschedulable && strings.Contains(s.Message, "Insufficient nvidia.com/gpu")
	})
	end(t, p, r.ID, events.CauseUnschedulable, "Insufficient nvidia.com/gpu")
}

// oversubscribed asks for 40 GPUs of 24, some of which others hold, through the ledger: as many start
// as there are, all of them run, and none holds what another does.
func oversubscribed(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	hold(t, c, "gpu-2", 3, "example/other")
	eventually(t, "three foreign holders are seen", func() bool { return foreign(t, p) == 3 })
	inv, err := p.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(inv.Devices) != 24 {
		t.Fatalf("%d devices, want 24", len(inv.Devices))
	}
	var l scale.Ledger
	l.SetInventory(inv.Nodes, inv.Devices, time.Now())
	var wg sync.WaitGroup
	var ids []string
	for range 40 {
		r := replica("default", "", "")
		lease, err := l.Reserve(scale.Ask{Holder: r.ID, Owner: "test", GPUs: 1}, time.Hour, time.Now())
		if err != nil {
			continue
		}
		r.Lease = lease
		ids = append(ids, r.ID)
		wg.Go(func() {
			if err := p.Start(t.Context(), r); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(ids) != 21 {
		t.Errorf("%d were placed, want 21", len(ids))
	}
	for _, id := range ids {
		await(t, p, id, activities.RunRunning)
	}
	inv, err = p.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.SetInventory(inv.Nodes, inv.Devices, time.Now())
	if u := l.Usage(); u.Free != 0 || u.Foreign != 3 {
		t.Errorf("at the end: %+v", u)
	}
}

func cordoned(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	r := started(t, p, replica("default", "gpu-1", "gpu-00"))
	c.Cordon(t, "gpu-1")
	eventually(t, "nothing more is placed there", func() bool {
		inv, err := p.Inventory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		usable := 0
		for _, d := range inv.Devices {
			if d.Node == "gpu-1" && d.Healthy {
				usable++
			}
		}
		return usable == 0 && len(inv.Nodes) == 3
	})
	if s := status(t, p, r.ID); s.State != activities.RunRunning {
		t.Errorf("what runs on a cordoned node is %s", s.State)
	}
	c.Uncordon(t, "gpu-1")
}

// stormPause is between two changes by each of ten writers: a storm to what it meets, and not to the API server.
const stormPause = 5 * time.Millisecond

// conflictStorm changes all that is the platform's, all the time, while Pods are started, fenced, stopped
// and forgotten and a claim is renewed.
func conflictStorm(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	claimed := open(t, c, provider.Options{Pool: "storm", Owner: "storm:/data"})
	var ids []string
	var specs []activities.ReplicaSpec
	for i := range 8 {
		r := started(t, p, replica("default", "gpu-0", fmt.Sprintf("gpu-%02d", i)))
		ids, specs = append(ids, r.ID), append(specs, r)
	}
	done := make(chan struct{})
	var storm sync.WaitGroup
	defer storm.Wait()
	defer close(done)
	rage := func(write func(patch []byte)) {
		storm.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				case <-time.After(stormPause):
					write(fmt.Appendf(nil, `{"metadata":{"annotations":{"storm":"%d"}}}`, i))
				}
			}
		})
	}
	core, leases := c.Client().CoreV1(), c.Client().CoordinationV1().Leases("default")
	for _, id := range ids {
		rage(func(patch []byte) { // it may be gone
			_, _ = core.Pods("default").Patch(t.Context(), id, types.MergePatchType, patch, metav1.PatchOptions{})
		})
	}
	rage(func(patch []byte) { // one that is not there yet is none
		for n := range 16 {
			_, _ = core.ConfigMaps("default").Patch(t.Context(), fmt.Sprint("stoker-default-stopped-", n), types.MergePatchType, patch, metav1.PatchOptions{})
		}
	})
	rage(func(patch []byte) {
		_, _ = leases.Patch(t.Context(), "stoker-storm", types.MergePatchType, patch, metav1.PatchOptions{})
	})
	for _, r := range specs {
		r.Lease.Epoch++
		if err := p.Start(t.Context(), r); err != nil {
			t.Errorf("a newer epoch: %v", err)
		}
	}
	for _, id := range ids {
		gone(t, p, id)
	}
	seen := map[time.Time]bool{}
	eventually(t, "the claim is renewed again and again", func() bool {
		lease, err := leases.Get(t.Context(), "stoker-storm", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		seen[lease.Spec.RenewTime.Time] = true
		return len(seen) == 4
	})
	started(t, claimed, replica("default", "gpu-0", "gpu-00"))
	clean(t, c, claimed)
}
