// Package bench measures the platform on this machine: `stoker bench`.
//
// Everything runs with the embedded servers, in a temporary directory and, but for path, in one
// process. What is compared is measured in the same run: absolute times on a shared machine say
// little, the ratio to a floor says much. Reports hold raw percentiles, sample counts and the
// load average.
//
//	zero  functions at rest, one event each: event → start, event → answer, and beside it the
//	      floor of the parts it stands on, an empty Update → activity on the same server, and
//	      with --at-once as many of them at once as functions woke
//	path  requests to a warm replica, beside the parts they stand on
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
package bench
