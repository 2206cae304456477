package functions

import "time"

// APIVersion and KindFunction are the only ones this version of stoker reads.
const (
	APIVersion   = "stoker.dev/v1"
	KindFunction = "Function"
)

// Function is one manifest: a model deploy. It is Kubernetes-shaped, so that the same
// file can later be applied with kubectl.
type Function struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	Spec       Spec     `json:"spec"`
}

// Key names a function across the platform.
type Key struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// String is "<namespace>/<name>", the form the CLI prints and reads.
func (k Key) String() string { return k.Namespace + "/" + k.Name }

// Key returns the namespace and name of the function.
func (f Function) Key() Key { return Key{f.Metadata.Namespace, f.Metadata.Name} }

// Metadata names the function. Names are DNS-1123 labels (RFC 1123, 63 bytes at most),
// because they become NATS subject tokens, workflow IDs and, on Kubernetes, labels.
type Metadata struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace,omitempty"` // default "default"
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Spec is the content of a function. What of it a replica runs with makes the revision.
type Spec struct {
	Runtime   Runtime   `json:"runtime"`
	Resources Resources `json:"resources"`
	Scaling   Scaling   `json:"scaling,omitzero"`
	Queue     Queue     `json:"queue,omitzero"`
	Results   Results   `json:"results,omitzero"`
	Overload  Overload  `json:"overload,omitzero"`
	Placement Placement `json:"placement,omitzero"`
}

// Protocol is how the agent speaks to the model server.
type Protocol string

// The protocols an agent speaks.
const (
	ProtocolHTTP        Protocol = "http"        // POST the payload to runtime.path
	ProtocolOpenAI      Protocol = "openai"      // POST to /v1/completions or /v1/chat/completions, by the payload's shape
	ProtocolCloudEvents Protocol = "cloudevents" // POST the event in the CloudEvents HTTP binding's binary mode
)

// Runtime says what to run and how to talk to it.
type Runtime struct {
	Image    string    `json:"image,omitempty"`    // OCI image; needed by providers that run images
	Command  []string  `json:"command,omitempty"`  // in place of the image's entrypoint, as in a Pod: no shell, $(NAME) is a variable's value
	Args     []string  `json:"args,omitempty"`     // in place of the image's arguments, in the same way
	Local    *Local    `json:"local,omitempty"`    // needed by the local provider, which runs no images
	Env      []EnvVar  `json:"env,omitempty"`      // environment of the model server
	Port     int       `json:"port,omitempty"`     // 0 (default): the provider picks one and sets $PORT; locally a free one, in a Pod 8080
	Protocol Protocol  `json:"protocol,omitempty"` // default http
	Path     string    `json:"path,omitempty"`     // default "/" (http, cloudevents); with openai chosen by payload
	Ready    Ready     `json:"ready,omitzero"`
	Drain    DrainSpec `json:"drain,omitzero"`
}

// Local is the command a local replica runs. The command is not passed to a shell.
type Local struct {
	Command    []string `json:"command"`              // program and leading arguments
	Args       []string `json:"args,omitempty"`       // further arguments
	WorkingDir string   `json:"workingDir,omitempty"` // default: the replica's own directory
}

// EnvVar is one variable of the model server: a value, or a reference to a secret.
type EnvVar struct {
	Name      string     `json:"name"`
	Value     string     `json:"value,omitempty"`
	ValueFrom *EnvSource `json:"valueFrom,omitempty"`
}

// EnvSource says where a value comes from, so that secrets stay out of manifests.
type EnvSource struct {
	SecretKeyRef *SecretKeyRef `json:"secretKeyRef,omitempty"`
}

// SecretKeyRef names a key of a secret. Locally a secret is a directory of files
// below <data>/secrets/<name>/<key>; on Kubernetes it is a Secret.
type SecretKeyRef struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

// Ready is the readiness probe: an HTTP GET that answers 200 once requests may come.
type Ready struct {
	Path    string   `json:"path,omitempty"`    // default "/health"
	Timeout Duration `json:"timeout,omitempty"` // start to ready, default 5m; past it the replica has failed
}

// DrainSpec says how long a replica may finish what it holds.
type DrainSpec struct {
	Grace Duration `json:"grace,omitempty"` // default 30s
}

// Resources one replica needs.
type Resources struct {
	GPUs     int      `json:"gpus"`                // default 1; 0 is a function without a GPU
	GPUMem   Quantity `json:"gpuMemory,omitempty"` // memory one GPU must have at least, such as 40Gi
	Products []string `json:"products,omitempty"`  // acceptable GPU products, in order of preference; empty: any
	CPU      Quantity `json:"cpu,omitempty"`       // cores, such as 500m or 2
	Memory   Quantity `json:"memory,omitempty"`    // host memory, such as 8Gi
}

// Scaling bounds and aims the number of replicas.
type Scaling struct {
	Min       int       `json:"min,omitempty"`       // default 0
	Max       int       `json:"max,omitempty"`       // default 1
	Slots     int       `json:"slots,omitempty"`     // requests one replica takes at a time, default 1
	WaitSLO   WaitSLO   `json:"waitSLO,omitzero"`    // default p95: 10s
	KeepAlive KeepAlive `json:"keepAlive,omitempty"` // "auto" (default) or a duration
	Weight    int       `json:"weight,omitempty"`    // GPUs it is due for each of another function's of the same class while they are short, default 1
	Budget    Budget    `json:"budget,omitzero"`
}

// BudgetAction is what happens when a budget is spent.
type BudgetAction string

// What may happen when a budget is spent.
const (
	BudgetWarn BudgetAction = "warn" // people are told
	BudgetCap  BudgetAction = "cap"  // replicas are held back, and requests wait
)

// Budget is what the function's GPUs may cost, at the prices the platform knows. Windows are of
// the UTC clock and calendar.
type Budget struct {
	PerHour  Quantity     `json:"perHour,omitempty"`  // US dollars
	PerDay   Quantity     `json:"perDay,omitempty"`   // US dollars
	PerMonth Quantity     `json:"perMonth,omitempty"` // US dollars
	Action   BudgetAction `json:"action,omitempty"`   // default warn
}

// WaitSLO is the wait a request may have before a slot takes it, such as p95: 2s.
// Exactly one percentile is given.
type WaitSLO struct {
	P50 Duration `json:"p50,omitempty"`
	P95 Duration `json:"p95,omitempty"`
	P99 Duration `json:"p99,omitempty"`
}

// Target is the percentile as a fraction (0.50, 0.95 or 0.99) and the wait it may have;
// 0, 0 if none is given.
func (w WaitSLO) Target() (percentile float64, wait time.Duration) {
	switch {
	case w.P50 > 0:
		return 0.50, w.P50.D()
	case w.P95 > 0:
		return 0.95, w.P95.D()
	case w.P99 > 0:
		return 0.99, w.P99.D()
	default:
		return 0, 0
	}
}

// Queue bounds what may wait and how often it is tried.
type Queue struct {
	Depth    Depth    `json:"depth,omitzero"`
	Deadline Duration `json:"deadline,omitempty"` // from publish to answer when the event names none, default 10m
	Attempts int      `json:"attempts,omitempty"` // failures after which a request is dead, default 3
	Backoff  Backoff  `json:"backoff,omitzero"`
}

// Depth is the number of requests that may wait, per class. The platform's ceiling is
// 10,000 per class, which the broker enforces.
type Depth struct {
	Interactive int `json:"interactive,omitempty"` // default 1000
	Standard    int `json:"standard,omitempty"`    // default 1000
	Batch       int `json:"batch,omitempty"`       // default 10000
}

// Of is the number of requests of a class that may wait; 0 for a class that does not exist.
func (d Depth) Of(c Class) int {
	switch c {
	case Interactive:
		return d.Interactive
	case Standard:
		return d.Standard
	case Batch:
		return d.Batch
	default:
		return 0
	}
}

// Backoff is the pause before a failed request is tried again: initial, doubled each
// time, never above max.
type Backoff struct {
	Initial Duration `json:"initial,omitempty"` // default 1s
	Max     Duration `json:"max,omitempty"`     // default 1m
}

// RecordContent is what a terminal record holds.
type RecordContent string

// What a terminal record may hold.
const (
	RecordAuto   RecordContent = "auto"   // whole for asynchronous requests, status for synchronous ones
	RecordStatus RecordContent = "status" // status, cause and times only
	RecordWhole  RecordContent = "whole"  // the answer too
)

// Results says what the terminal record holds and how long it is readable.
type Results struct {
	Record    RecordContent `json:"record,omitempty"`    // default auto
	Retention Duration      `json:"retention,omitempty"` // default 1h, at most 7 days
}

// Class is the urgency of a request.
type Class string

// The classes, most urgent first.
const (
	Interactive Class = "interactive"
	Standard    Class = "standard"
	Batch       Class = "batch"
)

// Classes lists the classes, most urgent first. The caller owns the slice.
func Classes() []Class { return []Class{Interactive, Standard, Batch} }

// Overload says what gives way when the queue is full.
type Overload struct {
	Shed     []Class `json:"shed,omitzero"`      // classes that may be shed for more urgent ones, first shed first; default [batch, standard]; []: none
	Fallback string  `json:"fallback,omitempty"` // a function of the same namespace that takes synchronous requests this one would shed
}

// Placement says where replicas may run.
type Placement struct {
	Pool string `json:"pool,omitempty"` // default "default"
}
