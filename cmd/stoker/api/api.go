// Package api holds what the CLI and the platform say to each other over HTTP: the values of
// the control API, its errors, and a client.
//
// The API listens on the platform's one HTTP port below /api/v1/. What changes something wants a
// bearer token: the platform's own from the data directory, or a user's; package access says who
// may do what. It is the CLI's; programs use NATS and the function endpoints.
//
//	GET    /api/v1/functions?namespace=N             []Function
//	POST   /api/v1/functions?dryRun=1                manifests (YAML or JSON) → []Applied
//	GET    /api/v1/functions/{ns}/{name}             Function
//	DELETE /api/v1/functions/{ns}/{name}             202
//	GET    /api/v1/functions/{ns}/{name}/explain     Explanation
//	POST   /api/v1/functions/{ns}/{name}/scale       ScaleRequest
//	POST   /api/v1/functions/{ns}/{name}/pause       PauseRequest
//	GET    /api/v1/functions/{ns}/{name}/logs        text; ?replica= &tail= &follow=1
//	GET    /api/v1/functions/{ns}/{name}/dead        []DeadLetter; ?after= &limit=
//	POST   /api/v1/functions/{ns}/{name}/dead        DeadRequest (redrive or purge) → DeadAnswer
//	GET    /api/v1/jobs?namespace=N                  []Job
//	POST   /api/v1/jobs?dryRun=1                     manifests of training jobs → []Submitted
//	GET    /api/v1/jobs/{ns}/{name}                  Job
//	DELETE /api/v1/jobs/{ns}/{name}                  forgets a job that is at its end
//	POST   /api/v1/jobs/{ns}/{name}/steer            SteerRequest
//	GET    /api/v1/jobs/{ns}/{name}/logs             text; ?rank= &tail= &follow=1
//	GET    /api/v1/jobqueues?namespace=N             []JobQueue
//	GET    /api/v1/events?namespace= &function= &since= &follow=1   Event, one JSON object per line
//	GET    /api/v1/status                            Platform
//	GET    /api/v1/cost?by=function&since=24h        Cost; of functions and jobs that may not be looked at the sum
//	GET    /api/v1/trace?namespace= &function= &since=24h   CSV as stoker simulate reads it, of what was recorded; TraceSummary in a header
//	POST   /api/v1/logins                            Login, for a browser
package api

import (
	"strings"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/cost"
	"stoker.dev/stoker/scale/jobs/loan"
)

// Function is a deployed function and how it is.
type Function struct {
	Key        functions.Key       `json:"key"`
	Generation uint64              `json:"generation"`
	Revision   string              `json:"revision"`
	Phase      scale.FunctionPhase `json:"phase"`
	Paused     bool                `json:"paused,omitempty"`
	Pinned     *int                `json:"pinned,omitempty"`
	Applied    time.Time           `json:"applied"`

	AtRest   bool   `json:"atRest"` // at zero, with nothing under way and no consumer
	Target   int    `json:"target"`
	Ready    int    `json:"ready"`
	Starting int    `json:"starting"`
	Draining int    `json:"draining"`
	Silent   int    `json:"silent,omitempty"`
	Min      int    `json:"min"`
	Max      int    `json:"max"`
	Slots    int    `json:"slots"`
	GPUs     int    `json:"gpus"` // per replica
	Blocked  string `json:"blocked,omitempty"`
	Trouble  string `json:"trouble,omitempty"`

	Pending  map[functions.Class]int `json:"pending"`
	InFlight int                     `json:"inFlight"`
	Dead     int                     `json:"dead"`
	Served   uint64                  `json:"served"`
	Failed   uint64                  `json:"failed"`

	Last       scale.Decision     `json:"last"`
	Replicas   []Replica          `json:"replicas,omitempty"`
	ColdStart  *ColdStart         `json:"coldStart,omitempty"` // the last one
	GPUSeconds Split              `json:"gpuSeconds"`
	Budget     string             `json:"budget,omitempty"`  // how it stands with its budget, for people
	Failure    *Failure           `json:"failure,omitempty"` // the last replica that ended unasked
	Manifest   functions.Function `json:"manifest"`
	Workflow   string             `json:"workflow"` // its ID in Temporal
}

// Replica is one running copy.
type Replica struct {
	ID        string             `json:"id"`
	Revision  string             `json:"revision"`
	Phase     string             `json:"phase"`
	Since     time.Time          `json:"since"`
	Node      string             `json:"node,omitempty"`
	Waits     string             `json:"waits,omitempty"` // what keeps it from running, or from going
	PID       int                `json:"pid,omitempty"`
	ServerPID int                `json:"serverPid,omitempty"`
	InFlight  int                `json:"inFlight"`
	Slots     int                `json:"slots"`
	Served    uint64             `json:"served"`
	LastBeat  time.Time          `json:"lastBeat,omitzero"`
	GPUs      []events.GPUSample `json:"gpus,omitempty"`
	Receipt   events.Receipt     `json:"receipt"`
}

// ColdStart is the receipt of one cold start, in milliseconds per phase.
type ColdStart struct {
	Replica        string    `json:"replica"`
	At             time.Time `json:"at"`
	ReserveMS      float64   `json:"reserveMs"`      // demand seen → lease committed
	SpawnMS        float64   `json:"spawnMs"`        // → the agent runs
	LoadMS         float64   `json:"loadMs"`         // → the model server's process runs
	ReadyMS        float64   `json:"readyMs"`        // → the probe answers
	FirstRequestMS float64   `json:"firstRequestMs"` // ready → the first request was pulled
	FirstByteMS    float64   `json:"firstByteMs"`    // ready → first byte of the first answer
	TotalMS        float64   `json:"totalMs"`        // demand → ready
}

// Split says what GPU-seconds were spent on. There is no residual.
type Split = scale.Split

// Failure is how a replica ended that was not asked to.
type Failure struct {
	Replica  string    `json:"replica"`
	Cause    string    `json:"cause"`
	ExitCode int       `json:"exitCode"`
	Message  string    `json:"message,omitempty"` // its last log lines
	At       time.Time `json:"at"`
}

// Summary is the cause and the last line of the log, where an error usually is.
func (f Failure) Summary() string {
	text := strings.TrimSpace(f.Message)
	line := strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
	if line == "" {
		return f.Cause
	}
	return f.Cause + ": " + line
}

// Explanation is why a function is as big as it is.
type Explanation struct {
	Function  Function         `json:"function"`
	Decisions []scale.Decision `json:"decisions"` // newest first
	Lines     []scale.Line     `json:"lines"`     // why not bigger, why not smaller, right now
	Holders   []scale.Holder   `json:"holders,omitempty"`
	FreeGPUs  int              `json:"freeGPUs"`
	Capacity  int              `json:"capacity"`
	Asked     scale.Question   `json:"asked"` // what `stoker decide` answers anew
}

// Applied is what became of one manifest.
type Applied struct {
	Key        functions.Key `json:"key"`
	Action     string        `json:"action"` // created, configured, unchanged
	Generation uint64        `json:"generation"`
	Revision   string        `json:"revision"`
	Rolls      bool          `json:"rolls"` // running replicas are replaced
	// Changes are what the manifest changes, field by field; none for one that is created.
	Changes []functions.Change `json:"changes,omitempty"`
}

// ScaleRequest pins the number of replicas, or, with nil, gives it back to demand.
type ScaleRequest struct {
	Replicas *int `json:"replicas"`
}

// PauseRequest pauses or resumes a function.
type PauseRequest struct {
	Paused bool `json:"paused"`
}

// DeadLetter is a request whose attempts are spent.
type DeadLetter struct {
	Seq         uint64          `json:"seq"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Class       functions.Class `json:"class"`
	Attempts    int             `json:"attempts"`
	Cause       string          `json:"cause"`
	Message     string          `json:"message,omitempty"`
	Redrive     int             `json:"redrive"`
	At          time.Time       `json:"at"`
	ContentType string          `json:"contentType,omitempty"`
	Data        []byte          `json:"data,omitempty"`
}

// DeadRequest redrives or purges dead letters: those named, or all with All.
type DeadRequest struct {
	Op   string   `json:"op"` // redrive, purge
	Seqs []uint64 `json:"seqs,omitempty"`
	All  bool     `json:"all,omitempty"`
}

// DeadAnswer says how many were touched and under which ids they run again.
type DeadAnswer struct {
	N   int      `json:"n"`
	IDs []string `json:"ids,omitempty"`
}

// Event is something that happened, as `stoker events` prints it.
type Event struct {
	Seq  uint64         `json:"seq"`
	At   time.Time      `json:"at"`
	Key  functions.Key  `json:"key"`
	Kind string         `json:"kind"`
	What string         `json:"what"`
	Data map[string]any `json:"data,omitempty"`
}

// Cost is where GPU time went, and what jobs borrowed of it. Who borrowed how much is in the lines.
type Cost struct {
	cost.Report
	Loans loan.Summary `json:"loans"`
}

// Platform is the state of the whole.
type Platform struct {
	Version   string         `json:"version"`
	Started   time.Time      `json:"started"`
	Provider  string         `json:"provider"`
	Capacity  int            `json:"capacity"` // GPUs
	Free      int            `json:"free"`
	Holders   []scale.Holder `json:"holders,omitempty"`
	Devices   []scale.Device `json:"devices,omitempty"`
	Leases    []scale.Lease  `json:"leases,omitempty"`
	Functions int            `json:"functions"`
	NATS      string         `json:"nats"`
	Temporal  string         `json:"temporal"`
	HTTP      string         `json:"http"`
}

// Login lets a browser in once.
type Login struct {
	Path    string `json:"path"` // with its query, below the platform's base URL
	Seconds int    `json:"seconds"`
}

// Error is the one shape of an error answer.
type Error struct {
	Code    int    `json:"code"`
	Cause   string `json:"cause,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Error is the message with its hint on a second line.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + "\n" + e.Hint
}

// ErrStopping answers who asks while the platform goes down.
var ErrStopping = &Error{Code: 503, Cause: "stopping", Message: "the platform is stopping", Hint: "start it again with `stoker up`"}
