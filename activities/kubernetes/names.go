package kubernetes

import corev1 "k8s.io/api/core/v1"

// What is written on the objects, for people, selectors and the next platform.
const (
	LabelPool     = "stoker.dev/pool"     // whose Pods these are: one platform's GPU pool
	LabelFunction = "stoker.dev/function" // the function's name, cut where it is too long; its namespace is the object's
	LabelRevision = "stoker.dev/revision"

	AnnotationName    = "stoker.dev/name"          // the function's name, where the label has not all of it
	AnnotationEpoch   = "stoker.dev/epoch"         // of the newest lease seen
	AnnotationDevices = "stoker.dev/devices"       // of the lease, separated by commas
	AnnotationStarted = "stoker.dev/started"       // when the platform created it, RFC 3339 with nanoseconds
	AnnotationTimeout = "stoker.dev/ready-timeout" // within which its containers must run
	AnnotationAsked   = "stoker.dev/asked"         // the platform asked it to go: AskedDrain, AskedKill, or the cause it was given up for
	AnnotationWhy     = "stoker.dev/why"           // the message of that cause
	AnnotationGrace   = "stoker.dev/grace"         // that it has from its being asked, beside AskedDrain

	// AskedDrain and AskedKill are the values of AnnotationAsked where a decision or an operator
	// wanted the end, the latter at once.
	AskedDrain = "drain"
	AskedKill  = "kill"

	// Finalizer keeps a Pod that ended until its end is noted ([Provider.Forget]).
	Finalizer = "stoker.dev/replica"
)

// The containers and the volume of a Pod.
const (
	ModelContainer = "model"
	AgentContainer = "agent"
	agentVolume    = "agent"
	// agentDir is where the agent finds its configuration and what it connects with.
	agentDir = "/etc/stoker"
)

// ResourceGPU is the extended resource of NVIDIA's device plugin.
const ResourceGPU corev1.ResourceName = "nvidia.com/gpu"

// Labels of a node, as NVIDIA's GPU feature discovery writes them.
const (
	LabelProduct = "nvidia.com/gpu.product"
	LabelMemory  = "nvidia.com/gpu.memory" // of one GPU, in MiB
)

// DefaultPort is where a model server listens whose manifest names no port; it is told by $PORT.
const DefaultPort = 8080

// DefaultAgentImage holds stoker-agent as its entrypoint.
const DefaultAgentImage = "stoker.dev/stoker-agent"
