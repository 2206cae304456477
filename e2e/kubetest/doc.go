// Package kubetest runs Kubernetes for tests: the real etcd, API server, scheduler and controller manager, as processes
// on loopback, with nodes that are not there or that are this host. A cluster starts in three seconds, and several can
// run at once.
//
//	c := kubetest.Start(t, kubetest.Options{Nodes: 3})
//	c.Client()               // client-go, as administrator
//	c.Kubeconfig()           // the same for a program
//	c.Kill(t, kubetest.APIServer); c.StartRole(t, kubetest.APIServer)
//	c.FailNode(t, "gpu-0"); c.WaitNode(t, "gpu-0", false)
//
// The programs are one binary, built from the module in e2e/simcluster by `go tool task simcluster` and kept in the
// user's cache directory. A test that finds none there is skipped and says so; a complete run does not accept that.
// Everything ends with the test, also if its process is killed.
//
// # Simulated nodes
//
// kwok plays the kubelets of [Cluster.AddNodes]: nodes with GPUs become Ready and renew their leases, Pods on them
// become Running and Ready, end when they are deleted, and go. No container runs, no image is pulled, nothing listens
// at a Pod's address, and there are no logs. Annotations ([CrashAfter] and its like) make Pods fail.
//
// # Host nodes
//
// On a node of [Cluster.AddHostNode] Pods run as processes of this host. The node does what a kubelet does with them:
// Secrets, ConfigMaps, the downward API and tokens as variables and files; init containers and native sidecars first;
// probes and preStop hooks; restarts; statuses with exit codes; at the end SIGTERM for the main containers, then for
// the sidecars, SIGKILL when the grace is over, and the object's deletion last of all. The API server serves their logs.
// GPUs are given out as the device plugin does, by UUID in NVIDIA_VISIBLE_DEVICES. What differs from a real node:
//
//   - Images are commands of this host ([Image]); a container sees this host's files, users and processes. There are no
//     limits on memory or CPU ([HostNode.OOMKill] ends a container as if there were).
//   - All Pods have the address 127.0.0.1. Each declared container port is another port of this host, written in the
//     place of the declared one into variables and arguments (if they are that number, an address with it, or end in
//     port=), into the addresses in files of Secrets and ConfigMaps, and into probes and hooks. A port that is not
//     declared is not replaced.
//   - Volumes lie somewhere else: where variables, arguments and those files name a mount's path, they name that place.
//     emptyDir, hostPath, persistentVolumeClaim (a directory for each claim, whatever volume it is bound to), secret,
//     configMap, downwardAPI and projected are there, and no other kinds. Files of the
//     downward API follow the Pod at once; Secrets, ConfigMaps and tokens are read once per start of a container.
//   - A container that ends again and again is restarted after a second, not after 10 s to 5 min.
//   - No events are written, and there is no exec, no postStart hook, no gRPC probe, and one log for all restarts.
//
// # What this proves, and what not
//
// What the API server accepts and refuses, who may do what, where the scheduler puts a Pod and why it does not, what
// the controllers do with nodes, taints, evictions and finalizers, what a client sees while a program is away, and, on
// host nodes, that processes live through all that as they should: this is the real thing. A real kubelet, a container
// runtime, NVIDIA's driver and device plugin, a network between Pods and the time that images take are not here. The
// programs' clients are allowed more requests than by default, so how fast something is here says nothing about a
// cluster in production. One delay is the real one and cannot be set: Pods of a node that was deleted go after 40 s to
// 60 s.
package kubetest
