package kubetest

import (
	"bytes"
	"cmp"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
)

// Bounds of a container's last message, as the kubelet has them
// (https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/).
const (
	maxMessage      = 4096 // bytes of the file
	maxLogMessage   = 2048 // bytes of the log
	maxMessageLines = 80   // of the log
)

// messagePath is where a container leaves its last message.
func messagePath(c *corev1.Container) string {
	return cmp.Or(c.TerminationMessagePath, corev1.TerminationMessagePathDefault)
}

// messageFile is where that lies on this host.
func (c *container) messageFile() string { return filepath.Join(c.pod.dir, c.spec.Name+".message") }

// message is what a container that ended has left: its file, or where it asks for that the end of its log.
func (c *container) message(code int) string {
	left, _ := os.ReadFile(c.messageFile()) // it need not have left one
	if len(left) == 0 && code != completed && c.spec.TerminationMessagePolicy == corev1.TerminationMessageFallbackToLogsOnError {
		log, _ := os.ReadFile(c.logPath())
		return string(tailOf(log[max(0, len(log)-maxLogMessage):], maxMessageLines))
	}
	return string(left[:min(len(left), maxMessage)])
}

// tailOf are the last n lines of a text.
func tailOf(text []byte, n int) []byte {
	for at := len(text) - 1; at > 0; at-- {
		if text[at-1] != '\n' {
			continue
		}
		if n--; n == 0 {
			return text[at:]
		}
	}
	return bytes.Clone(text)
}
