package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// ReservationTTL is how long a claim may stay unbound before it expires. A start takes
// milliseconds; the time covers a platform that is killed between claim and start and
// resumes within ten seconds.
const ReservationTTL = 30 * time.Second

// Ledger is the capacity ledger as the activities need it.
type Ledger interface {
	// Reserve claims GPUs for each ask, all-or-nothing per ask. The results are in the order
	// of the asks; an ask that could not be met has an error that matches
	// [scale.ErrNoCapacity] or [scale.ErrTombstone].
	Reserve(ctx context.Context, asks []scale.Ask, ttl time.Duration) ([]Claim, error)
	// Bind says that the holder was started, at that time: a reservation that has run out since is
	// bound all the same.
	Bind(ctx context.Context, holder string, epoch uint64, at time.Time) error
	MarkDraining(ctx context.Context, holder string) error
	Release(ctx context.Context, holder, cause string) error
}

// Claim is the answer to one ask: a lease, or why there is none.
type Claim struct {
	Lease scale.Lease
	Err   error
}

// Queue opens and closes the consumers of a function.
type Queue interface {
	OpenQueue(ctx context.Context, k functions.Key, shard int) error
	// CloseQueue deletes the consumers unless requests wait; it returns how many do.
	CloseQueue(ctx context.Context, k functions.Key, shard int) (int, error)
}

// Access mints what one agent may use to reach the broker.
type Access interface {
	AgentAccess(k functions.Key, replica string, shard int) (events.NATSAccess, error)
}

// Journal tells the world what happened to a function.
type Journal interface {
	Emit(ctx context.Context, k functions.Key, kind, what string, data any) error
}

// Activities holds what the activities share. Its methods are what workers register.
type Activities struct {
	Provider  Provider
	Ledger    Ledger
	Queue     Queue
	Access    Access
	Journal   Journal
	Manifests Manifests
	Burst     *Burst // nil: nobody says which starts are coming
	Now       func() time.Time
}

// StartRequest asks for replicas of one revision. The IDs were minted by the workflow, so a
// repeated request starts nothing twice. What a replica runs with is not in it: a request is kept
// in Temporal's history, and a manifest may hold what is not for everybody who reads that.
type StartRequest struct {
	Key      functions.Key `json:"key"`
	Revision string        `json:"revision"`
	Shard    int           `json:"shard"`
	Demand   time.Time     `json:"demand,omitzero"`
	IDs      []string      `json:"ids"`
}

// StartResult says what became of each ID: it is in exactly one of the three lists.
type StartResult struct {
	Started []Started `json:"started,omitempty"`
	Blocked []string  `json:"blocked,omitempty"` // no capacity; nothing was claimed
	Failed  []Failed  `json:"failed,omitempty"`
	Why     string    `json:"why,omitempty"` // why Blocked: what is free, who holds the rest

	Superseded bool `json:"superseded,omitempty"` // Blocked, since another revision is deployed
}

// Started is one replica that is on its way.
type Started struct {
	ID    string `json:"id"`
	Node  string `json:"node,omitempty"`
	Epoch uint64 `json:"epoch"`

	devices []string // for the journal, which hears of a start before the workflow does
	at      time.Time
}

// Failed is one replica whose start was refused for good.
type Failed struct {
	ID      string `json:"id"`
	Cause   string `json:"cause"`
	Message string `json:"message"`
}

// StartReplicas claims capacity and starts what got it. What a start does not need to begin
// follows once the starts of other functions that are coming were made too: the claims are bound
// (until then Adopt binds what runs) and the queue opens (a replica needs it only once its model is
// loaded).
func (a *Activities) StartReplicas(ctx context.Context, r StartRequest) (StartResult, error) {
	spec, err := a.manifest(ctx, r.Key, r.Revision)
	if err != nil {
		a.Burst.Begun(r.Key)
		return superseded(r, err)
	}
	out, err := a.startAll(ctx, order{r, spec})
	a.Burst.Begun(r.Key)
	if err != nil {
		return StartResult{}, err
	}
	a.Burst.Yield(ctx, YieldMax)
	if err := a.bindAll(ctx, r, out.Started); err != nil {
		return StartResult{}, err
	}
	return out, a.openQueue(ctx, r)
}

// superseded answers a start whose revision is not the deployed one: the next sync brings the
// newer decision.
func superseded(r StartRequest, err error) (StartResult, error) {
	if errors.Is(err, ErrSuperseded) {
		return StartResult{Blocked: r.IDs, Why: err.Error(), Superseded: true}, nil
	}
	return StartResult{}, err
}

// order is a request with what its replicas run with.
type order struct {
	StartRequest
	spec functions.Spec
}

// startAll claims and starts.
func (a *Activities) startAll(ctx context.Context, r order) (StartResult, error) {
	claims, err := a.Ledger.Reserve(ctx, asks(r), ReservationTTL)
	if err != nil {
		return StartResult{}, fmt.Errorf("claim GPUs for %s: %w", r.Key, err)
	}
	reserved := a.Now()
	results := make([]outcome, len(claims))
	var g errgroup.Group
	for i, c := range claims {
		if c.Err != nil {
			results[i] = unclaimed(r.IDs[i], c.Err)
			continue
		}
		g.Go(func() error {
			var err error
			results[i], err = a.startOne(ctx, r, r.IDs[i], c.Lease, reserved)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return StartResult{}, err
	}
	return collect(r.IDs, results), nil
}

// bindAll tells ledger and journal that the replicas were started.
func (a *Activities) bindAll(ctx context.Context, r StartRequest, started []Started) error {
	var g errgroup.Group
	for _, s := range started {
		g.Go(func() error {
			if err := a.Ledger.Bind(ctx, s.ID, s.Epoch, s.at); err != nil {
				return fmt.Errorf("bind the lease of replica %s: %w", s.ID, err)
			}
			a.emit(ctx, r.Key, "replica-started", map[string]any{"replica": s.ID, "revision": r.Revision, "node": s.Node, "devices": s.devices})
			return nil
		})
	}
	return g.Wait()
}

func asks(r order) []scale.Ask {
	out := make([]scale.Ask, len(r.IDs))
	for i, id := range r.IDs {
		out[i] = AskFor(r.Key, r.spec, id)
	}
	return out
}

// AskFor is the claim one replica of a function makes.
func AskFor(k functions.Key, s functions.Spec, id string) scale.Ask {
	return scale.Ask{
		Holder: id, Owner: "function " + k.String(), GPUs: s.Resources.GPUs,
		Products: s.Resources.Products, Memory: s.Resources.GPUMem.Bytes(),
	}
}

func (a *Activities) openQueue(ctx context.Context, r StartRequest) error {
	if err := a.Queue.OpenQueue(ctx, r.Key, r.Shard); err != nil {
		return fmt.Errorf("open the queue of %s: %w", r.Key, err)
	}
	return nil
}

// outcome is what became of one ID; exactly one field is set.
type outcome struct {
	started *Started
	blocked error
	failed  *Failed
}

// unclaimed is what becomes of an ID that got no lease: none is free, its own has ended (a start that
// was tried for so long that its reservation ran out; another ID may have another), or its ask can
// never be met.
func unclaimed(id string, err error) outcome {
	if errors.Is(err, scale.ErrNoCapacity) || errors.Is(err, scale.ErrTombstone) {
		return outcome{blocked: err}
	}
	return spawnFailed(id, err)
}

func spawnFailed(id string, cause error) outcome {
	return outcome{failed: &Failed{ID: id, Cause: events.CauseSpawnFailed, Message: cause.Error()}}
}

func (a *Activities) startOne(ctx context.Context, r order, id string, lease scale.Lease, reserved time.Time) (outcome, error) {
	spec, err := a.replicaSpec(r, id, lease, reserved)
	if err != nil {
		return outcome{}, err
	}
	if err := a.Provider.Start(ctx, spec); err != nil {
		return a.startFailed(ctx, id, lease, err)
	}
	return a.startedOne(id, lease), nil
}

func (a *Activities) startedOne(id string, l scale.Lease) outcome {
	return outcome{started: &Started{ID: id, Node: l.Node, Epoch: l.Epoch, devices: l.Devices, at: a.Now()}}
}

func (a *Activities) replicaSpec(r order, id string, l scale.Lease, reserved time.Time) (ReplicaSpec, error) {
	access, err := a.Access.AgentAccess(r.Key, id, r.Shard)
	if err != nil {
		return ReplicaSpec{}, fmt.Errorf("mint the credentials of replica %s: %w", id, err)
	}
	return ReplicaSpec{
		ID: id, Key: r.Key, Revision: r.Revision, Spec: r.spec, Lease: l,
		Agent: events.AgentConfig{
			Key: r.Key, Replica: id, Revision: r.Revision, Spec: r.spec,
			Stream: events.ShardStream(r.Shard), NATS: access,
			Receipt: events.Receipt{Demand: r.Demand, Reserved: reserved},
		},
	}, nil
}

// startFailed tells what can never work, and what cannot now, from what may work in a moment.
// The first two give their lease back at once, unless an earlier try did start it: that one has the
// GPUs until it is gone, and its end is observed like any other. The last leaves the lease, and the
// retry finds it again by the replica's ID.
func (a *Activities) startFailed(ctx context.Context, id string, lease scale.Lease, cause error) (outcome, error) {
	notNow := errors.Is(cause, ErrNotNow)
	if !notNow && !Permanent(cause) {
		return outcome{}, fmt.Errorf("start replica %s: %w", id, cause)
	}
	state, err := runState(ctx, a.Provider, id)
	if err != nil {
		return outcome{}, err
	}
	if state != RunGone {
		return a.startedOne(id, lease), nil
	}
	if err := a.Ledger.Release(ctx, id, events.CauseSpawnFailed); err != nil {
		// The cause is told, not wrapped: it is permanent, while the release may well work next time.
		return outcome{}, fmt.Errorf("release the lease of replica %s after %q: %w", id, cause.Error(), err)
	}
	if notNow {
		return outcome{blocked: cause}, nil
	}
	return spawnFailed(id, cause), nil
}

// Permanent is the one place that says which errors of a [Provider] no retry mends.
func Permanent(err error) bool {
	for _, p := range []error{ErrFenced, ErrStopped, ErrNoCommand, ErrBadSpec} {
		if errors.Is(err, p) {
			return true
		}
	}
	return false
}

func collect(ids []string, results []outcome) StartResult {
	var out StartResult
	for i, r := range results {
		switch {
		case r.started != nil:
			out.Started = append(out.Started, *r.started)
		case r.failed != nil:
			out.Failed = append(out.Failed, *r.failed)
		default:
			out.Blocked = append(out.Blocked, ids[i])
			out.Why = r.blocked.Error()
		}
	}
	return out
}

// ReplicaRef names one replica of a function, and what is to become of it.
type ReplicaRef struct {
	Key   functions.Key      `json:"key"`
	ID    string             `json:"id"`
	Grace functions.Duration `json:"grace,omitempty"`
	Cause string             `json:"cause,omitempty"`
}

// DrainReplica asks a replica to take no more, finish within its grace and go.
func (a *Activities) DrainReplica(ctx context.Context, r ReplicaRef) error {
	if err := a.Ledger.MarkDraining(ctx, r.ID); err != nil && !errors.Is(err, scale.ErrUnknownHolder) {
		return fmt.Errorf("mark the lease of replica %s draining: %w", r.ID, err)
	}
	if err := a.Provider.Stop(ctx, r.ID, r.Grace.D()); err != nil {
		return fmt.Errorf("drain replica %s: %w", r.ID, err)
	}
	a.emit(ctx, r.Key, "replica-draining", map[string]any{"replica": r.ID, "cause": r.Cause})
	return nil
}

// StopReplica kills what is left of a replica and tells whether nothing of it is left.
func (a *Activities) StopReplica(ctx context.Context, r ReplicaRef) (bool, error) {
	if err := a.Provider.Stop(ctx, r.ID, 0); err != nil {
		return false, fmt.Errorf("stop replica %s: %w", r.ID, err)
	}
	state, err := runState(ctx, a.Provider, r.ID)
	return state == RunGone, err
}

// ReleaseReplica gives a replica's lease back, once its provider says that nothing of it is
// left (promise 4: a lease is released when the tree is gone, not when a signal was sent).
func (a *Activities) ReleaseReplica(ctx context.Context, r ReplicaRef) error {
	state, err := runState(ctx, a.Provider, r.ID)
	if err != nil {
		return err
	}
	if state != RunGone {
		return fmt.Errorf("%w: replica %s is %s", ErrStillRunning, r.ID, state)
	}
	if err := a.Ledger.Release(ctx, r.ID, r.Cause); err != nil && !errors.Is(err, scale.ErrUnknownHolder) {
		return fmt.Errorf("release the lease of replica %s: %w", r.ID, err)
	}
	if err := a.Provider.Forget(ctx, r.ID); err != nil {
		return fmt.Errorf("forget replica %s: %w", r.ID, err)
	}
	a.emit(ctx, r.Key, "replica-gone", map[string]any{"replica": r.ID, "cause": r.Cause})
	return nil
}

// QueueRef names the queue of a function.
type QueueRef struct {
	Key   functions.Key `json:"key"`
	Shard int           `json:"shard"`
}

// CloseQueue removes the consumers of a function at zero and returns 0, or leaves them and
// returns how many requests wait.
func (a *Activities) CloseQueue(ctx context.Context, q QueueRef) (int, error) {
	n, err := a.Queue.CloseQueue(ctx, q.Key, q.Shard)
	if err != nil {
		return 0, fmt.Errorf("close the queue of %s: %w", q.Key, err)
	}
	return n, nil
}

// journalPatience bounds a word to the journal: a healthy one takes it in a millisecond, and one
// that hangs (a full disk) must not use up the time of the activity that has done its work.
const journalPatience = 500 * time.Millisecond

// emit tells the journal. A journal that cannot be written does not stop the work: the
// workflow's own history holds the same.
func (a *Activities) emit(ctx context.Context, k functions.Key, what string, data any) {
	if a.Journal != nil {
		ctx, cancel := context.WithTimeout(ctx, journalPatience)
		defer cancel()
		_ = a.Journal.Emit(ctx, k, "function", what, data)
	}
}
