package kubernetes

import (
	"testing"

	provider "stoker.dev/stoker/activities/kubernetes"
	"stoker.dev/stoker/e2e/kubetest"
)

func TestClusterFaults(t *testing.T) {
	c := kubetest.Start(t, kubetest.Options{Nodes: 3, Spec: kubetest.NodeSpec{Name: "gpu", GPUs: 8}})
	for _, f := range []struct {
		name string
		test func(*testing.T, *kubetest.Cluster, *provider.Provider)
	}{
		{"APodDeletedByHand", podDeleted},
		{"APodForcedAway", podForced},
		{"APodNotedToGoAndNotAsked", podNoted},
		{"APodWhoseLabelIsTaken", labelTaken},
		{"APodEvicted", podEvicted},
		{"APodPreempted", podPreempted},
		{"APodEvictedByATaint", podTainted},
		{"APodStuckTerminating", podStuck},
		{"AnImageThatCannotBePulled", imagePull},
		{"AKubeletThatIsLateWithItsWord", lateKubelet},
		{"OutOfMemory", outOfMemory},
		{"QuotaExceeded", quotaExceeded},
		{"NoSuchNamespace", noNamespace},
		{"RefusedByItsNode", refusedByNode},
		{"TwentyFourGPUsOversubscribed", oversubscribed},
		{"AConflictStorm", conflictStorm},
		{"ALateStart", lateStart},
		{"ACordonedNode", cordoned},
		{"APodOfTheSameName", sameName},
		{"TheAPIServerIsAway", apiServerAway},
		{"TheWatchIsCut", watchCut},
		{"ANodeIsLostAndReturns", nodeLost},
		{"ANodeIsDeleted", nodeDeleted}, // last: it takes a node away
	} {
		t.Run(f.name, func(t *testing.T) {
			p := open(t, c, provider.Options{})
			f.test(t, c, p)
			clean(t, c, p)
		})
	}
}

// clean ends and forgets what a test left, and sees that nothing stays.
func clean(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	t.Helper()
	all, err := p.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		gone(t, p, s.ID)
	}
	settled(t, c)
}
