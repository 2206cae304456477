package contract

import (
	"time"

	"stoker.dev/stoker/scale/job"
)

// Notice is what stands in $PREEMPT_FILE, as JSON, once a gang is told to go. It is written beside and
// then moved there, so that a program that sees the file can read it.
type Notice struct {
	Reason   job.Cause `json:"reason"`
	Deadline time.Time `json:"deadline"` // every process is killed then
	Seconds  int64     `json:"seconds"`  // that were left until then when it was written
}

// NewNotice is the notice for a command to notify, which is written now.
func NewNotice(c job.Command, now time.Time) Notice {
	return Notice{Reason: c.Cause, Deadline: c.KillAt, Seconds: max(0, int64(c.KillAt.Sub(now)/time.Second))}
}
