package events

import (
	"time"

	"stoker.dev/stoker/functions"
)

// Phase of a replica as its agent sees it.
type Phase string

// The phases of a replica, in the order they are passed through.
const (
	PhaseStarting Phase = "starting" // the agent runs, the model server was not spawned yet
	PhaseLoading  Phase = "loading"  // the model server runs, its probe does not answer 200 yet
	PhaseReady    Phase = "ready"    // pulls requests
	PhaseDraining Phase = "draining" // finishes what it holds, takes no more
	PhaseExited   Phase = "exited"   // the whole process tree is gone
)

// Causes an agent or provider gives for an exit.
const (
	CauseDrained       = "drained"       // asked to go, went
	CauseCrashed       = "crashed"       // the model server exited by itself
	CauseOutOfMemory   = "out-of-memory" // the kernel killed the model server for want of memory
	CauseNeverReady    = "never-ready"   // the probe did not answer within ready.timeout
	CauseSpawnFailed   = "spawn-failed"  // the command could not be started
	CauseAgentLost     = "agent-lost"    // the agent was killed
	CauseKilled        = "killed"        // the platform killed the tree
	CauseUnschedulable = "unschedulable" // no node took it: what was free when it was placed was gone
	CauseImagePull     = "image-pull"    // its image cannot be had
	CauseEvicted       = "evicted"       // the cluster made it go: a drained node, a taint, no memory or disk left there
	CausePreempted     = "preempted"     // the cluster gave its place to something more important
	CausePodDeleted    = "pod-deleted"   // somebody deleted its Pod
	CauseNodeLost      = "node-lost"     // its node was deleted or shut down
	CauseCancelled     = "cancelled"     // the caller went away
	CauseBackend       = "backend-error" // the model server answered an error or nothing
	CauseDeadline      = "deadline"      // the deadline passed
	CauseQueueFull     = "queue-full"    // shed: the queue was full
	CauseCrashLoop     = "crash-loop"    // failed fast: replicas keep crashing
	CauseDeleted       = "function-deleted"
	CauseBadRequest    = "bad-request"
	CauseAttemptsSpent = "attempts-spent"
)

// Heartbeat is what an agent says each second, and at once when its phase changes. It is
// level-triggered: losing one loses nothing.
type Heartbeat struct {
	Replica   string                     `json:"replica"`
	Revision  string                     `json:"revision"`
	Phase     Phase                      `json:"phase"`
	Cause     string                     `json:"cause,omitempty"`
	Message   string                     `json:"message,omitempty"` // last log lines on a failure
	ExitCode  int                        `json:"exitCode,omitempty"`
	PID       int                        `json:"pid"` // of the agent
	ServerPID int                        `json:"serverPid,omitempty"`
	At        time.Time                  `json:"at"`
	Slots     int                        `json:"slots"`
	InFlight  int                        `json:"inFlight"`
	Pending   map[functions.Class]uint64 `json:"pending,omitempty"` // last seen in delivered messages
	Totals    Totals                     `json:"totals"`
	Receipt   Receipt                    `json:"receipt"`
	GPUs      []GPUSample                `json:"gpus,omitempty"` // where NVML is there
	Rank      *Rank                      `json:"rank,omitempty"` // of a training job; nil: it is a replica of a function
}

// Totals count since the replica started; they only grow.
type Totals struct {
	Served      uint64  `json:"served"` // ended with a result
	Failed      uint64  `json:"failed"` // attempts that failed
	Expired     uint64  `json:"expired"`
	Late        uint64  `json:"late,omitempty"`      // taken for the first time after the limit of the wait SLO
	TokensIn    uint64  `json:"tokensIn,omitempty"`  // as model servers of protocol openai tell
	TokensOut   uint64  `json:"tokensOut,omitempty"` // the same, of the answers
	ServiceSec  float64 `json:"serviceSec"`          // sum of service times of ended attempts, seconds
	UsefulSec   float64 `json:"usefulSec"`           // time with at least one request in flight, seconds
	ColdSec     float64 `json:"coldSec"`             // start to ready
	IdleSec     float64 `json:"idleSec"`             // ready, nothing in flight
	DrainingSec float64 `json:"drainingSec"`         // from the notice to the exit, less what was useful
}

// Receipt is the timed story of one cold start. Zero times have not happened yet.
type Receipt struct {
	Demand       time.Time `json:"demand,omitzero"`       // the event that caused it was seen
	Reserved     time.Time `json:"reserved,omitzero"`     // the lease was committed
	Spawned      time.Time `json:"spawned,omitzero"`      // the agent started
	Loading      time.Time `json:"loading,omitzero"`      // the model server's process runs
	Ready        time.Time `json:"ready,omitzero"`        // the probe answered 200
	FirstRequest time.Time `json:"firstRequest,omitzero"` // the first request was pulled
	FirstByte    time.Time `json:"firstByte,omitzero"`    // the first byte of its answer came
}

// GPUSample is one GPU at one moment, from NVML.
type GPUSample struct {
	UUID        string  `json:"uuid"`
	Product     string  `json:"product"`
	MemoryUsed  uint64  `json:"memoryUsed"`  // bytes
	MemoryTotal uint64  `json:"memoryTotal"` // bytes
	Utilization float64 `json:"utilization"` // 0 to 1
}

// Control is an order to an agent.
type Control struct {
	Op           string  `json:"op"` // "drain"; to a rank also [OpOpen], [OpNotice], [OpSave], [OpFind]
	GraceSeconds float64 `json:"graceSeconds,omitempty"`
	Generation   uint64  `json:"generation,omitempty"` // of the gang it is meant for; orders to ranks only
	Cause        string  `json:"cause,omitempty"`      // why a rank has to go
	// Opening comes with [OpOpen] where the configuration of a rank leaves it open.
	Opening *Opening `json:"opening,omitempty"`
}

// OpDrain asks an agent to take no more, finish and exit.
const OpDrain = "drain"

// AgentConfig is the file an agent is started with. It holds the agent's credentials, so it
// is readable by its owner only and never part of the model server's environment.
type AgentConfig struct {
	Key        functions.Key  `json:"key"`
	Replica    string         `json:"replica"`
	Revision   string         `json:"revision"`
	Spec       functions.Spec `json:"spec"`
	Attach     bool           `json:"attach,omitempty"`  // the model server runs beside the agent, on Port: nothing is started or killed
	Env        []string       `json:"env,omitempty"`     // resolved KEY=VALUE for the model server
	Secrets    []string       `json:"secrets,omitempty"` // names in Env whose values are masked in the model server's output
	Command    []string       `json:"command,omitempty"` // resolved program and arguments; none with Attach
	WorkingDir string         `json:"workingDir,omitempty"`
	Port       int            `json:"port"`                 // of the model server; 0: the agent picks one, unless Attach; see [ServerPortVar]
	Listen     string         `json:"listen,omitempty"`     // with Attach, the agent's own address; empty: [AgentPort]; see [AgentListenVar]
	GPUs       []string       `json:"gpus,omitempty"`       // UUIDs or indexes for CUDA_VISIBLE_DEVICES
	LogFile    string         `json:"logFile,omitempty"`    // the model server's output, rotated
	StatusFile string         `json:"statusFile,omitempty"` // last Heartbeat, written on every phase change; in a Pod in place, and no longer than a termination message
	Stream     string         `json:"stream"`               // the function's shard
	Rank       *RankConfig    `json:"rank,omitempty"`       // the command is a rank's program; nil: it is a model server
	NATS       NATSAccess     `json:"nats"`
	Receipt    Receipt        `json:"receipt"` // Demand and Reserved, as known at the start
}

// Environment of an agent that attaches, for what a Pod alone knows.
const (
	ServerPortVar  = "STOKER_SERVER_PORT"  // overrides AgentConfig.Port
	AgentListenVar = "STOKER_AGENT_LISTEN" // overrides AgentConfig.Listen, such as :9461
)

// What an agent that attaches serves over HTTP, to a kubelet.
const (
	AgentPort       = 9461       // where; beside a model server's own ports, and below those of outgoing connections
	AgentDrainPath  = "/drain"   // GET begins to drain and answers 200 once that is done
	AgentHealthPath = "/healthz" // GET answers 200
)

// NATSAccess is how an agent reaches the broker.
type NATSAccess struct {
	URL       string `json:"url"`
	Token     string `json:"token,omitempty"`     // embedded broker
	TokenFile string `json:"tokenFile,omitempty"` // path of a file with the token, read at every connect
	Creds     string `json:"creds,omitempty"`     // path of a credentials file, external broker
	CA        string `json:"ca,omitempty"`        // path of a CA file
	Cert      string `json:"cert,omitempty"`
	KeyFile   string `json:"keyFile,omitempty"`
	// ServerName is what the broker's certificate must be for, where that is not the URL's host.
	ServerName string `json:"serverName,omitempty"`
}

// FunctionRecord is what the platform keeps of a deployed function.
type FunctionRecord struct {
	Function   functions.Function `json:"function"`
	Generation uint64             `json:"generation"` // grows with every apply
	Revision   string             `json:"revision"`
	Shard      int                `json:"shard"`
	Paused     bool               `json:"paused,omitempty"`   // takes requests, runs none
	Deleting   bool               `json:"deleting,omitempty"` // draining before it is removed
	Pinned     *int               `json:"pinned,omitempty"`   // replicas asked for by `stoker scale`
	Applied    time.Time          `json:"applied"`
}

// Status is how a request ended.
type Status string

// The four ways a request ends.
const (
	StatusOK      Status = "ok"
	StatusError   Status = "error"
	StatusExpired Status = "expired"
	StatusShed    Status = "shed"
)

// Record is the terminal record of a request: written once, readable by id until its
// retention ends.
type Record struct {
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Function    functions.Key   `json:"function"`
	Class       functions.Class `json:"class"`
	Status      Status          `json:"status"`
	Cause       string          `json:"cause,omitempty"`
	Message     string          `json:"message,omitempty"`
	Attempt     int             `json:"attempt"` // 1 is the first
	Redrive     int             `json:"redrive,omitempty"`
	Revision    string          `json:"revision,omitempty"`
	Replica     string          `json:"replica,omitempty"`
	Published   time.Time       `json:"published,omitzero"` // stored by the broker
	Started     time.Time       `json:"started,omitzero"`   // the last attempt began
	Ended       time.Time       `json:"ended"`
	ContentType string          `json:"contentType,omitempty"`
	Body        []byte          `json:"-"` // the answer; travels as the message's payload
	RetryAfter  int             `json:"retryAfterSeconds,omitempty"`
	Backend     int             `json:"backendStatus,omitempty"` // HTTP status of a model server that refused the request
	Copy        bool            `json:"copy,omitempty"`          // of a reply: made from the record, which may not hold the answer

	key string // tells requests apart that lead to the same ID
}

// JobRecord is what the platform keeps of a submitted training job. Its life is its workflow's.
type JobRecord struct {
	Job       functions.TrainingJob `json:"job"`
	UID       string                `json:"uid"`                // tells it from an earlier job of the name
	Source    string                `json:"source,omitempty"`   // of the event that submitted it, with EventID its identity
	EventID   string                `json:"eventId,omitempty"`  //
	User      string                `json:"user,omitempty"`     // who submitted it, as far as that is known
	Submitted time.Time             `json:"submitted"`          //
	Deleting  bool                  `json:"deleting,omitempty"` // it is at its end, and what is left of it is being removed
}
