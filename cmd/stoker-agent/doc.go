// Command stoker-agent runs beside one model server and is all that stands between it and
// the queue: it starts the server, waits until it is ready, pulls requests for its free
// slots, takes each to its end, says once a second how it is, and leaves nothing behind.
//
// It takes no arguments. STOKER_AGENT_CONFIG names a JSON file (events.AgentConfig) which
// holds its credentials; neither the variable nor what is in the file, but for the
// manifest's own environment, reaches the model server. SIGTERM and SIGINT drain, as the
// broker's control message does: no more requests, those in flight finish within the
// manifest's grace, the server is asked to go and then killed with all it started.
//
// # As a sidecar
//
// With "attach" in its configuration the model server is another container's: the agent
// neither starts nor stops it, and pulls for whoever listens on "port" once its probe
// answers. STOKER_SERVER_PORT overrides the port. The agent serves HTTP on port 9461, or on
// STOKER_AGENT_LISTEN:
//
//	GET /healthz  200 while the agent lives; a startup probe
//	GET /drain    drains, and answers 200 when the model server may go: nothing is in flight,
//	              or the grace is over and the rest was given back; a preStop hook
//
// A server whose port refuses connections, twice in a row, is gone. What was in flight has
// failed, nothing more is pulled. An agent that has drained, lost its server or never saw it
// ready says so in each heartbeat and stays until SIGTERM, then exits with 0: whoever runs
// sidecars would start it again. When it was killed and is started again, the same replica
// goes on with the same server.
//
// A SIGTERM that comes before the server was ready leaves the cause of the end empty: it may
// be that the server has ended, and whoever ran it knows how.
//
// # A rank of a training job
//
// With "rank" in its configuration the command is the program of one rank of a gang, and there is
// nothing to pull. The agent waits in phase loading until it is told to open the barrier, starts the
// program, is ready while that runs and exits with it. Orders carry the generation of the gang, and
// those of another are refused. Told to go, it writes the notice, sends SIGTERM to the main process
// alone and is draining until that ends; at the end of the grace everything is killed. SIGTERM to
// the agent is such a notice with the grace of its configuration, and nothing after another notice.
// Reports of the program go into the heartbeats, and at once if a checkpoint was committed. Once the
// main process ended, the rest of its tree is killed and the last heartbeat says what is known of
// the end. The agent exits with 0 however the program did.
//
// A broker that is away is nothing to the program: it trains on, and orders come when it is back.
//
// With "rank.place" it is alone with its program in a container, whose image may be any: `stoker-agent
// -install PATH` in another container of the Pod puts the program on a volume of both. It then makes the
// checkpoint directory and looks what is in there before it is in phase loading; hears with the order to
// open where the other ranks are, and which checkpoint all begin with; gives the program the container's
// own environment beside the contract's, and its command with $(NAME) replaced by a variable's value;
// copies its output to its own; clears old checkpoints if it is rank 0; and exits with the program's code.
//
// # Ends
//
// The agent outlives the platform that started it: a broker that is away is waited for,
// without end.
//
// Exit codes:
//
//	0  drained, or a rank whose program ended
//	1  the agent could not do its work; its last line on stderr says why
//	2  the configuration is missing or wrong
//	3  the model server could not be started
//	4  the model server never became ready
//	5  the model server exited by itself
//	6  processes of the model server survived being killed
package main
