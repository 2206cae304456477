// Package kubernetes runs replicas as Pods.
//
// A replica is one Pod, named by its replica ID: creating it twice is refused by the API server,
// so starting it twice is a no-op. The model server is the Pod's main container; stoker-agent runs
// beside it as a native sidecar (an init container that is restarted), so that it is up before the
// model loads and goes after it. The Pod is never restarted by the kubelet: a replica that ended
// is replaced by another one, with another ID.
//
//	Pod <id>      labels: pool, function and revision; annotations: epoch, devices, the ask to go
//	Secret <id>   the agent's configuration and token, owned by the Pod, gone with it
//	ConfigMap     stoker-<pool>-stopped-<n>: IDs that must not start (any more), until they are old
//	Lease         stoker-<pool>: which platform the pool belongs to
//
// # Placement
//
// The ledger has placed the replica before it comes here: the Pod names that node in its node
// affinity, as a DaemonSet's Pods do, and the scheduler checks that it fits. A Pod API has no
// names for GPUs, so the inventory makes them up: "gpu-<n>" on each node, as many as are allocatable.
// Which of them Pods of others hold is not to be known either, only how many: the last ones that
// none of ours holds.
//
// # Ranks of training jobs
//
// A rank is a Pod like a replica's, named by its rank ID and placed, claimed, stopped and adopted in the same
// way, with one difference: it has one container, of the job's image, and the agent is the first process
// in it. An init container of the agent's image puts the agent's program onto a volume of the Pod. So the
// agent starts the program once its gang is complete, and is the one whom the kubelet asks to go; it tells
// the program, waits for the checkpoint, and exits with the program's code and its last word as the
// container's termination message. The manifest must name the command, since the image's own is not known.
//
//	/stoker           the agent, and the files by which program and platform talk (a volume of the Pod)
//	/etc/stoker       what the agent is told (the Secret; its token is for this rank's own subjects alone)
//	/dev/shm          memory that processes share, bounded by spec.resources.memory alone
//	[Volume.Path]     checkpoints: a PersistentVolumeClaim in the job's namespace, on all of its nodes
//
// Where the others are, ranks hear when the barrier opens: every Pod has its address by then, it is that
// Pod's for life, and a Pod that ends takes its gang along. No Service and no DNS is between them.
// The platform does not see the volume. Ranks make the checkpoint directory and look into it before they
// arrive; rank 0 says which checkpoint all begin with, and clears old ones.
//
// How a rank ended is, in this order: the platform's own doing; what the API server and the kubelet say (evicted,
// preempted, deleted by somebody, node lost, out of memory, could not be started); the agent's last word;
// and a container that was killed before that could be said.
//
// # States
//
// What a Pod is in the API server's eyes, and what that is here:
//
//	not scheduled, or containers waiting       starting; the cause says why it lasts
//	model server's container running           running
//	asked to go (by us or anybody)             stopping
//	all containers ended, or never scheduled   gone, once it is asked to go or has failed
//	its node not ready                         unknown: it may well serve
//
// Gone is what the kubelet has confirmed, never what was only asked for: a Pod is asked to go with
// a grace of at least a second, since a grace of none would make the API server forget it while its
// containers still hold their GPUs. A finalizer keeps a Pod that ended until [Provider.Forget], so
// that when and why it ended is known even if that was while the platform was down.
//
// # Draining
//
// The model server's preStop hook asks the agent to drain and waits until it has: whoever deletes
// or evicts the Pod, or drains its node, what is in flight may finish within the grace.
//
// # Failure cases
//
//   - The API server is away: what is known stays known (informers), nothing becomes gone, starts
//     fail and are tried again by their activity.
//   - The Pod is made and its Secret is not (a quota, a lost call): its containers wait, its GPUs stay
//     its own, and the start is tried again until the Pod is given up, and has ended.
//   - A node or the API server was away while a Pod started: its kubelet may be late with the news that it
//     runs, so it is given up only once [kubeletWord] has passed without that.
//   - A watch is cut: the informer lists again and the difference is told.
//   - A Pod cannot be scheduled where the ledger put it (others were faster): after
//     [ScheduleTimeout] it is given up with that cause, and the ledger places another.
//   - The image cannot be pulled, the Pod is evicted, deleted by somebody, out of memory, its quota
//     exceeded: a cause each, with the message of whoever said so.
//   - A Pod appears whose ID was stopped, or with an older epoch: a late start, deleted at once.
//   - The node is deleted: Pods on it go with the garbage collector, after up to a minute.
package kubernetes
