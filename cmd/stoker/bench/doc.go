// Package bench measures the platform on this machine: `stoker bench`.
//
// Everything runs with the embedded servers, in a temporary directory and, but for path and idle, in
// one process. What is compared is measured in the same run: absolute times on a shared machine say
// little, the ratio to a floor says much. Reports hold raw percentiles, sample counts and the
// load average.
//
//	zero  functions at rest, one event each: event → start, event → answer, and beside it the
//	      floor of the parts it stands on, an empty Update → activity on the same server, and
//	      with --at-once as many of them at once as functions woke
//	path  requests to a warm replica, beside the parts they stand on
//	idle  functions at zero, beside an empty platform; then one warm function under load
//	scale changes of capacity: one function to many replicas and back, many functions at once
//	jobs  training jobs: admissions, a large gang, loans given back, ranks killed
//
// # path
//
// Its processes are those of production, and each way uses as many of them as it has parts:
//
//	platform  `stoker up`: broker, controller and gateway in one process, embedded servers
//	agent     stoker-agent, beside the one replica with 64 slots
//	backend   the model server the agent started: an HTTP server that sends requests back
//	worker    pulls from a queue without an agent
//	callers   this process
//
// A request is 1 KiB of JSON, as is its answer, and each caller has one under way at a time. All
// callers share one connection to the broker, as the goroutines of a service do, and have one
// connection each to an HTTP server. To stoker they come without credentials, as guests, whose
// messages cross into the platform's NATS account; raw has a connection inside of it.
//
//	direct   POST to the backend
//	raw      publish to a queue and wait for the broker's acknowledgement and the reply. Stream
//	         and consumers are made by the code that makes a function's (file storage, WorkQueue,
//	         headers-only republish, DiscardNew per subject). The worker asks by the agents' own
//	         rules (package pull), acknowledges without waiting, and replies with the payload.
//	stoker   request-reply on stoker.invoke: gateway → queue → agent → backend → terminal record
//	         → acknowledgement → reply
//	publish  the same without the gateway: publish an event with a reply address, wait for the
//	         broker's acknowledgement and the reply
//	http     POST to the platform's HTTP port
//
// Every way is warmed up once and then used for a while in each round, in turns that begin with
// another one each round. A rate is the median of the rounds; times are of all requests. The
// floor is what direct and raw would take one after the other, 1/(1/raw + 1/direct). What stoker
// adds is the difference of two percentiles, its own and that of direct. cpu_us is what one
// request took of the CPU time of each process, user and system: unlike the rates it does not
// change much with what else the machine does. Terminal records are kept for 10 s, so that they
// expire at the rate at which they are written.
//
// Streams are of 256 chunks which the backend sends as fast as they are taken; one at a time, as
// server-sent events from the backend (direct) and over the platform's port (http), and as the
// messages that an invoke with ce-stream is answered by (stoker).
//
// # zero
//
// Event to start ends at the entry of the provider's start call: the lease is committed and the
// workflow has taken the decision. On the simulated provider nothing is behind that call, and an
// answerer writes the records in the agents' order; on the local one it starts an agent and a
// model server as processes. A function is woken again once it is at rest: no replica, lease or
// consumer is left of it.
//
// On Kubernetes there is a third end, the return of the API server's create call, and as its floor
// the same Pods created directly by a client of the same limits: one after the other, and with
// --at-once as many together as functions woke. The nodes are simulated, so this process plays the
// agents: one is ready once the provider says that its Pod runs, and gone once it is asked to go.
// The pool is the run's own, and nothing of it is left in the cluster. How long images, models and
// real kubelets take is not in any figure.
//
// # idle
//
// Two platforms, each a `stoker up` of its own, one with functions at zero and one without any,
// are left alone after the functions have settled. Over the same window, of both processes:
// processor time and resident memory by /proc; messages by the broker's own counts; history
// events by Temporal's tables. The counters are read before and after the window, not in it.
//
// Then a function with one replica (agent and model server as processes) takes three rounds of
// the same length: without requests, with some, and with ten times as many, published by a
// client of the broker. What goes by time is the same in all three; what the large round has
// beyond the small one, by request it has more, is what a request costs the controller.
//
// # scale
//
// In one process, on simulated GPUs or as Pods. What stands in for agents and callers has connections of its
// own, so that what the platform's connection receives is the controller's and the gateway's.
// One function is pinned to a number of replicas, which makes every change exact; many functions
// wake by demand, each by two requests for every replica it shall have, whose answers are held
// until all run. Times of replicas run from the order, or from the first request of the function,
// to the entry of the provider's start or stop call. A change is a replica started or stopped. On
// Kubernetes the many are also told by their Pods: until the last was created, and until all ran,
// beside as many Pods created directly at once.
//
// # jobs
//
// Each part has a platform of its own. Admissions are jobs of one rank on simulated GPUs, submitted in one
// call, from just before it to the entry of the provider's start call of the last: its lease is committed
// and its workflow at work. The floor is as many workflows that do nothing, started by the same client,
// until the last has ended. The large gang is on simulated GPUs too, from admitted to the barrier passed
// by its job's own times.
//
// Loans and kills are of real processes: an agent and a program that trains by the contract of
// docs/training.md, with 16 MiB of weights that it writes through to the disk. A request for a function
// recalls the loan of the only GPU. The give-back is what the receipt of the attempt says, from the notice to the
// release, the program's own checkpoint included; that is reported beside it, and so is the time until
// the function's replica is started, which wants the lease free. A kill hits the program alone. What it
// loses is the time since the state was taken that the next attempt goes on from; the restart lasts
// until the barrier is passed again.
//
// ettr is computed, not measured: for a kill every 10 minutes and a checkpoint every 30 s, with the mean
// restart and the time of one checkpoint from this run,
//
//	(kill - restart - (interval + save)/2) / kill * interval / (interval + save)
package bench
