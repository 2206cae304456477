package functions

import "time"

// Limits of an input.
const (
	// MaxInputBytes is the size of one input to Parse: a YAML node takes about a hundred times
	// the memory of its text, so this keeps a hostile file to some hundred MB for a moment.
	MaxInputBytes = 1 << 20
	// MaxManifestBytes is the text of one manifest with every alias written out. Escaped as
	// JSON it grows sixfold at most and still fits, with its record, into one NATS message of
	// 1 MiB. It is also what stops a document that expands aliases within aliases.
	MaxManifestBytes = 128 << 10
	// MaxDocuments is the number of documents in one input, so that one apply is one sitting.
	MaxDocuments = 1000
	// MaxErrors is the number of errors told of one input: more than anybody reads, and an
	// answer to a hostile input is no larger than the input.
	MaxErrors = 200
	// maxNesting is the depth of a JSON value; a manifest needs seven.
	maxNesting = 64
)

// Limits of names and texts.
const (
	// MaxNameBytes is the length of a DNS-1123 label, which a Kubernetes label value also has.
	MaxNameBytes = 63
	// maxLabels is the number of labels and of annotations: they are copied to every replica.
	maxLabels = 64
	// maxLabelPrefixBytes is the length of a DNS-1123 subdomain (RFC 1035, 2.3.4).
	maxLabelPrefixBytes = 253
	// maxAnnotationBytes is the text of one annotation; some hold a small document.
	maxAnnotationBytes = 32 << 10
	// maxImageBytes is the length of an image reference: 255 for the repository and a tag
	// of 128 or a digest of 71, as registries allow, with a registry's name before it.
	maxImageBytes = 640
	// maxPathBytes is the length of an HTTP path, far below the 8 KiB that servers take.
	maxPathBytes = 1024
	// maxFilePathBytes is Linux's PATH_MAX.
	maxFilePathBytes = 4096
	// maxTextBytes is the length of one argument or variable, a quarter of what Linux allows (MAX_ARG_STRLEN).
	maxTextBytes = 32 << 10
	// maxArgs and maxEnv together stay far below Linux's 2 MiB for arguments and environment.
	maxArgs = 512
	maxEnv  = 512
	// maxEnvNameBytes is generous: no variable in use is longer.
	maxEnvNameBytes = 256
	// maxProducts is above the number of GPU products that any fleet runs.
	maxProducts     = 32
	maxProductBytes = 128
)

// Limits of numbers and times.
const (
	// MaxReplicas is where one function's replicas still fit into one state value and one
	// workflow's history, at some hundred bytes each.
	MaxReplicas = 1000
	// MaxSlots is the number of requests one replica takes at a time: each is a connection
	// and an ack to keep alive in one agent.
	MaxSlots = 4096
	// MaxWeight is a function's weight while GPUs are short: with more, the others might as well
	// have none.
	MaxWeight = 100
	// MaxGPUs is the GPUs of one replica. A replica runs on one node, and no node has more.
	MaxGPUs = 64
	// MaxDepth is the platform's ceiling per class; the broker enforces it on every publish.
	MaxDepth = 10_000
	// MaxAttempts ends what will never succeed within hours rather than days of GPU time.
	MaxAttempts = 100
	// MaxRetention bounds the memory that terminal records take.
	MaxRetention = 7 * 24 * time.Hour
	// MaxDeadline is how long failed attempts are remembered: past it a count would start anew.
	MaxDeadline = 24 * time.Hour
	// MaxReadyTimeout covers the slowest known load (a large model over a slow link) and
	// still frees the GPUs of a replica that hangs on the same day.
	MaxReadyTimeout = 6 * time.Hour
	// MaxDrainGrace covers the longest generation; a change of revision waits for it.
	MaxDrainGrace = time.Hour
	// MaxWait is the longest wait that is still an objective; more is a batch class.
	MaxWait = time.Hour
	// MaxKeepAlive is a week: who wants longer sets scaling.min.
	MaxKeepAlive = 7 * 24 * time.Hour
	// MaxBackoff is the longest pause between two attempts.
	MaxBackoff = time.Hour

	minReadyTimeout = time.Second           // below it not even a process starts
	minDrainGrace   = time.Second           // agents count the grace in seconds
	minWait         = time.Millisecond      // a durable hop takes about a tenth of it
	minDeadline     = 10 * time.Millisecond // below it a request expires before a replica sees it
	minBackoff      = 10 * time.Millisecond // below it a failing server is hammered
	minRetention    = time.Second           // the broker expires records by the second
)

// Limits of quantities.
const (
	minCPU    Quantity = "1m"    // the finest share that Kubernetes knows
	maxCPU    Quantity = "4096"  // cores; twice the largest machine
	minMemory Quantity = "1Mi"   // below it a unit was forgotten
	maxMemory Quantity = "64Ti"  // twice the largest machine
	minUSD    Quantity = "0.001" // less is none: to run nothing, pause
	maxUSD    Quantity = "1G"    // more than anybody lets a machine spend
	maxGPUMem Quantity = "4Ti"   // above any GPU's memory for years
)
