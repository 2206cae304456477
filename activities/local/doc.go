// Package local runs replicas as processes of this machine.
//
// A replica is one agent process with everything below it. The agent leads a session of its
// own, so it outlives the platform; the next platform on the same directory finds it again by
// replica ID, process ID, process start time and boot ID, and adopts it as it is.
//
//	<dir>/<id>/run.json      what the provider knows of it (its identity, epoch, end)
//	<dir>/<id>/spec.json     what was asked for, without credentials
//	<dir>/<id>/agent.json    what the agent reads, with the manifest's secrets, mode 0600
//	<dir>/<id>/agent.token   its credentials, read at every connect and renewed, mode 0600
//	<dir>/<id>/status.json   the last heartbeat, written by the agent
//	<dir>/<id>/server.log    the model server's output, rotated by the agent
//	<dir>/<id>/agent.log     the agent's own output
//	<dir>/<id>/work/         the model server's working directory, unless the manifest names one
//	<dir>/<id>/rank/         of a rank of a training job: notice, progress, error file, host file
//
// # The tree
//
// A replica is gone when no process of its tree is left, never earlier: its lease is released
// on that. The tree is found in one of two ways:
//
//   - Where a cgroup (version 2) can be made, the tree is what is in it: complete, and killed in
//     one write. Memory and CPU limits hold there if the kernel hands those controllers to us.
//   - Otherwise it is every process that inherited the environment marker [MarkerVar] or the
//     agent's session, and their children. A process that leaves the session, drops its
//     environment and loses its parent at once escapes this.
//
// A rank whose agent was asked to go is killed without it at the end of the grace, so that the agent can say how
// the program ended; the agent follows within seconds.
//
// # Failure cases
//
// An agent that dies takes its tree with it: the provider kills what is left before it says
// gone. A process that cannot be killed (it sleeps in a driver) keeps its replica stopping and
// its lease held. A platform that dies between starting an agent and noting its process ID
// finds it by the marker. A disk that is full, or a directory that cannot be written, refuses a
// start with one clear line and leaves nothing behind.
package local
