package api

import (
	"context"
	"io"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/cost"
)

// Control is what the controller offers to the HTTP side. Errors that people should read are
// *[Error].
type Control interface {
	Apply(ctx context.Context, fs []functions.Function, dryRun bool) ([]Applied, error)
	Delete(ctx context.Context, k functions.Key) error
	List(ctx context.Context, namespace string) ([]Function, error) // "" is every namespace
	Get(ctx context.Context, k functions.Key) (Function, error)
	Explain(ctx context.Context, k functions.Key) (Explanation, error)
	Scale(ctx context.Context, k functions.Key, replicas *int) error
	Pause(ctx context.Context, k functions.Key, paused bool) error
	Logs(ctx context.Context, k functions.Key, replica string, o activities.LogOptions) (io.ReadCloser, error)
	Platform(ctx context.Context) (Platform, error)
	// Cost says where the GPU time since a moment went, and names the functions of the namespaces that see chooses.
	Cost(ctx context.Context, since time.Time, by cost.By, see func(namespace string) bool) (cost.Report, error)
	// Admission is asked once per synchronous request: memory only, no I/O.
	Admission(k functions.Key) (Admission, bool)
	// Refused says that a request was answered fail-fast because the function is failing.
	Refused(k functions.Key)
}

// Admission is what a gateway needs to take or refuse a request at once.
type Admission struct {
	Spec              functions.Spec
	Shard             int
	Pending           map[functions.Class]int // what waits, less what agents work on; may be a second or two old
	InFlight          int                     // requests agents work on, as they last said
	Deleting          bool
	Failing           *Failure // set: fail fast with this cause
	RetryAfterSeconds int
}
