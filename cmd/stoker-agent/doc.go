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
// The agent outlives the platform that started it: a broker that is away is waited for,
// without end.
//
// Exit codes:
//
//	0  drained
//	1  the agent could not do its work; its last line on stderr says why
//	2  the configuration is missing or wrong
//	3  the model server could not be started
//	4  the model server never became ready
//	5  the model server exited by itself
//	6  processes of the model server survived being killed
package main
