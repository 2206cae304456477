package bench

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/activities/simulated"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/platform"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// jobTimeout is how long a job may take for one step of its life.
const jobTimeout = 2 * time.Minute

// claimsEvery is how often the ledger is looked at for claims.
const claimsEvery = 5 * time.Millisecond

// simulatedJob is a job of some ranks with a GPU each, which train until they are stopped.
const simulatedJob = `{"apiVersion":"stoker.dev/v1","kind":"TrainingJob","metadata":{"name":%q},"spec":{
"runtime":{"image":"` + noImage + `"},"resources":{"nodes":%d,"gpusPerNode":1}}}
---
`

// jobsWorld is a platform in this process.
type jobsWorld struct {
	dir     string
	plat    *platform.Platform
	client  *api.Client
	started starts
}

func openJobsWorld(ctx context.Context, o JobsOptions, provider, dir string, gpus int) (*jobsWorld, error) {
	w := &jobsWorld{dir: dir}
	o.Config = place(o.Config, provider, filepath.Join(dir, "data"))
	o.Config.Training, o.Config.GPUs = -1, 0
	if provider == providerLocal {
		o.Config.GPUs = gpus
	}
	var err error
	w.plat, err = platform.Start(ctx, platform.Options{
		Config: o.Config, Version: o.Version, Log: slog.New(slog.DiscardHandler), Progress: o.Progress,
		Simulated: simulated.Options{Nodes: (gpus + simulatedGPUs - 1) / simulatedGPUs, GPUs: simulatedGPUs},
		Wrap:      func(p activities.Provider) activities.Provider { return &starting{p, &w.started} },
	})
	if err != nil {
		return nil, err
	}
	s := w.plat.Server()
	w.client = api.NewClient(s.HTTP, s.AdminToken, nil)
	return w, nil
}

func (w *jobsWorld) submit(ctx context.Context, manifests []byte) error {
	_, err := w.client.Submit(ctx, "bench", manifests, false)
	return err
}

// await looks at a job until it is as wanted.
func (w *jobsWorld) await(ctx context.Context, name, what string, ok func(api.Job) bool) (api.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, jobTimeout)
	defer cancel()
	for {
		j, err := w.client.Job(ctx, functions.Key{Namespace: functions.DefaultNamespace, Name: name})
		if err != nil || ok(j) {
			return j, err
		}
		if err := pause(ctx, stepEvery); err != nil {
			return j, fmt.Errorf("job %s is %s (%s %s) and not %s within %v: %w", name, j.Phase, j.Cause, j.Trouble, what, jobTimeout, err)
		}
	}
}

// claimed waits until so many leases are committed. A job's workflow claims them, so it is started by then.
func (w *jobsWorld) claimed(ctx context.Context, n int) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, jobTimeout)
	defer cancel()
	for len(w.plat.Capacity().Leases) < n {
		if err := pause(ctx, claimsEvery); err != nil {
			return time.Time{}, fmt.Errorf("%d of %d jobs have GPUs after %v: %w", len(w.plat.Capacity().Leases), n, jobTimeout, err)
		}
	}
	return time.Now(), nil
}

// placed waits until so many jobs have told that their leases are committed, and says when the last one did.
func (w *jobsWorld) placed(ctx context.Context, n int) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, jobTimeout)
	defer cancel()
	for e, err := range w.client.Events(ctx, api.EventFilter{Since: jobTimeout, Follow: true}) {
		if err != nil {
			return time.Time{}, err
		}
		if e.Kind == "job" && e.What == string(job.Placed) {
			n--
		}
		if n == 0 {
			return e.At, nil
		}
	}
	return time.Time{}, fmt.Errorf("%d jobs have no GPUs within %v: %w", n, jobTimeout, context.Cause(ctx))
}

// started tells whether so many gangs of a job have passed their barriers.
func started(attempts int) func(api.Job) bool {
	return func(j api.Job) bool { return len(j.Attempts) >= attempts && !j.Attempts[attempts-1].Started.IsZero() }
}

// starting takes the time at which the provider's start call is entered: by then the leases are
// committed, and the workflow is at work.
type starting struct {
	activities.Provider
	starts *starts
}

// Start notes the time first of all.
func (s *starting) Start(ctx context.Context, r activities.ReplicaSpec) error {
	s.starts.note(time.Now())
	return s.Provider.Start(ctx, r)
}

// starts waits for a number of them.
type starts struct {
	mu   sync.Mutex
	left int
	last chan time.Time
}

// await begins to count n of them, and returns what waits for the time of the last.
func (s *starts) await(n int) func(context.Context) (time.Time, error) {
	last := make(chan time.Time, 1)
	s.mu.Lock()
	s.left, s.last = n, last
	s.mu.Unlock()
	return func(ctx context.Context) (time.Time, error) {
		ctx, cancel := context.WithTimeout(ctx, jobTimeout)
		defer cancel()
		select {
		case at := <-last:
			return at, nil
		case <-ctx.Done():
			s.mu.Lock()
			defer s.mu.Unlock()
			return time.Time{}, fmt.Errorf("%d of %d were not started: %w", s.left, n, ctx.Err())
		}
	}
}

func (s *starts) note(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left--
	if s.left == 0 {
		s.last <- at
	}
}
