package kubetest

import _ "embed"

// stagesFile is what kwok is to do, in the cluster's directory.
const stagesFile = "stages.yaml"

//go:embed stages.yaml
var stages []byte

// Annotations of Pods on simulated nodes, read by the stages. A duration is Go's, such as "2s".
const (
	// StartAfter is how long the containers wait to be created; at once without it.
	StartAfter = "kubetest.stoker.dev/start-after"
	// CrashAfter ends the main containers by themselves, that long after they were ready.
	CrashAfter = "kubetest.stoker.dev/crash-after"
	// ExitCode is with what, "1" without it. "0" is a success.
	ExitCode = "kubetest.stoker.dev/exit-code"
	// OOM, with any value, makes that end one by the kernel for want of memory: 137 and OOMKilled.
	OOM = "kubetest.stoker.dev/oom"
	// ImagePullError keeps the containers from being created; its value is the message.
	ImagePullError = "kubetest.stoker.dev/image-pull-error"
	// StopAfter is how long the containers take to end once the Pod is deleted; none without it.
	StopAfter = "kubetest.stoker.dev/stop-after"
	// IgnoreDelete, with any value, keeps the containers running once the Pod is deleted, until it is removed.
	IgnoreDelete = "kubetest.stoker.dev/ignore-delete"
)
