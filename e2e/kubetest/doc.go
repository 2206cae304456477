// Package kubetest runs Kubernetes for tests: the real etcd, API server, scheduler and controller manager, as processes
// on loopback, and nodes that are not there. A cluster starts in three seconds, and several can run at once.
//
//	c := kubetest.Start(t, kubetest.Options{Nodes: 3})
//	c.Client()               // client-go, as administrator
//	c.Kubeconfig()           // the same for a program
//	c.Kill(t, kubetest.APIServer); c.StartRole(t, kubetest.APIServer)
//	c.FailNode(t, "gpu-0"); c.WaitNode(t, "gpu-0", false)
//
// The programs are one binary, built from the module in e2e/simcluster by `go tool task simcluster` and kept in the
// user's cache directory. A test that finds none there is skipped and says so; a complete run does not accept that.
//
// # Simulated nodes
//
// kwok plays the kubelets of [Cluster.AddNodes]: nodes with GPUs become Ready and renew their leases, Pods on them
// become Running and Ready, end when they are deleted, and go. No container runs, no image is pulled, nothing listens
// at a Pod's address, and there are no logs. Annotations ([CrashAfter] and its like) make Pods fail.
//
// # What this proves, and what not
//
// What the API server accepts and refuses, who may do what, where the scheduler puts a Pod and why it does not, what
// the controllers do with nodes, taints, evictions and finalizers, and what a client sees while a program is away: all
// that is the real thing. A kubelet, a container runtime, NVIDIA's device plugin, a network between Pods and the time
// that images take are not here. The programs' clients are allowed more requests than by default, so how fast
// something is here says nothing about a cluster in production.
//
// One delay is the real one and cannot be set: Pods of a node that was deleted go after 40 s to 60 s.
package kubetest
