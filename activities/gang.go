package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/job/contract"
)

// gangWidth is how many ranks of a gang are dealt with at once: enough for 512 in a second where one
// takes 50 ms, and few enough for a provider that starts processes.
const gangWidth = 32

// GangLedger is the capacity ledger as gangs need it.
type GangLedger interface {
	// ReserveGang claims GPUs for every ask or for none; see [scale.Ledger.ReserveGang].
	ReserveGang(ctx context.Context, asks []scale.Ask, ttl time.Duration) ([]scale.Lease, error)
	Bind(ctx context.Context, holder string, epoch uint64, at time.Time) error
	MarkDraining(ctx context.Context, holder string) error
	Release(ctx context.Context, holder, cause string) error
}

// Orders reach the agents of ranks. Error: [events.ErrNotFound] where none listens.
type Orders interface {
	SendControl(ctx context.Context, k functions.Key, replica string, c events.Control) error
	// Ask gives an order that is a question, and returns the answer.
	Ask(ctx context.Context, k functions.Key, replica string, c events.Control) (string, error)
}

// Submissions is where submitted jobs are kept, by [events.StateKey]. Errors: [events.ErrNotFound].
type Submissions interface {
	Get(ctx context.Context, key string) (events.JobRecord, uint64, error)
}

// Checkpoints are the directories that jobs keep their work in.
type Checkpoints interface {
	// Away tells that only the ranks see the directories: their agents make, read and clear them.
	Away() bool
	// Dir is the checkpoint directory of a job as its ranks see it, made if it is not there.
	Dir(rec events.JobRecord) (string, error)
	// List are the checkpoints in a directory.
	List(dir string) ([]contract.Checkpoint, error)
	// Clear removes checkpoints by their names.
	Clear(dir string, names []string) error
}

// JobNews is what has become of a job.
type JobNews struct {
	Key   functions.Key
	UID   string
	State job.State
	Seq   uint64 // grows with every step

	On      []string // the node of every rank of the gang that holds GPUs
	Resumed string   // the checkpoint the newest gang began with
	Trouble string   // why it does not get on
}

// Newsroom hears of every step in the life of a job.
type Newsroom interface {
	JobChanged(ctx context.Context, n JobNews) error
}

// Gangs holds what the activities of training jobs share. Its methods are what workers register.
type Gangs struct {
	Provider    Provider
	Ledger      GangLedger
	Orders      Orders
	Access      Access
	Jobs        Submissions
	Checkpoints Checkpoints
	News        Newsroom
	Freed       func()                   // GPUs of a gang are free; may be nil
	Claims      *Burst                   // nil: nobody says which claims are coming
	Address     func(node string) string // how a node is reached by the others
	Port        func() (int, error)      // one that is free on the nodes, as far as can be told
	Now         func() time.Time
}

// GangRef names one gang of a job.
type GangRef struct {
	Key        functions.Key `json:"key"`
	UID        string        `json:"uid"`
	Generation uint64        `json:"generation"`
	Nodes      int           `json:"nodes"`
	Cause      string        `json:"cause,omitempty"`
}

// maxNameInRank leaves room for the rest of a rank's ID within 63 bytes.
const maxNameInRank = 34

// RankID names a rank. It follows from what the rank is, so that a repeated start starts nothing
// twice, and a new generation nothing of an old one.
func (g GangRef) RankID(rank int) string {
	name := g.Key.Name
	if len(name) > maxNameInRank {
		name = name[:maxNameInRank]
	}
	return fmt.Sprintf("%s-%s-%d-%d", name, g.UID, g.Generation, rank)
}

func (g GangRef) String() string { return fmt.Sprintf("generation %d of job %s", g.Generation, g.Key) }

// each does something for every rank, some at a time, and returns the first error.
func (g GangRef) each(ctx context.Context, do func(ctx context.Context, rank int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(gangWidth)
	for rank := range g.Nodes {
		group.Go(func() error {
			if err := ctx.Err(); err != nil { // another one has failed
				return err
			}
			return do(ctx, rank)
		})
	}
	return group.Wait()
}

// jobOwner begins the owner of every lease of a job.
const jobOwner = "job "

// JobOwner is the owner of the leases of a job's ranks.
func JobOwner(k functions.Key) string { return jobOwner + k.String() }

// OwnedByJob tells whether a lease is a rank's.
func OwnedByJob(l scale.Lease) bool { return strings.HasPrefix(l.Owner, jobOwner) }

// PlaceRequest asks for the GPUs of a gang.
type PlaceRequest struct {
	GangRef
	Resources functions.JobResources `json:"resources"`
	Avoid     []string               `json:"avoid,omitempty"`
}

// asks are those of every rank, away from some nodes.
func (r PlaceRequest) asks(avoid []string) []scale.Ask {
	out := make([]scale.Ask, r.Nodes)
	for rank := range out {
		out[rank] = scale.Ask{
			Holder: r.RankID(rank), Owner: JobOwner(r.Key), GPUs: r.Resources.GPUsPerNode,
			Products: r.Resources.Products, Memory: r.Resources.GPUMem.Bytes(), Avoid: avoid,
		}
	}
	return out
}

// PlaceResult is what came of it.
type PlaceResult struct {
	Nodes []string `json:"nodes,omitempty"` // of every rank; none: there was no room
	Port  int      `json:"port,omitempty"`  // where the ranks find each other, on the node of rank 0
	Why   string   `json:"why,omitempty"`   // there was no room
}

// PlaceGang claims the GPUs of a gang, all or none.
func (a *Gangs) PlaceGang(ctx context.Context, r PlaceRequest) (PlaceResult, error) {
	defer a.Claims.Begun(r.Key)
	leases, err := a.reserve(ctx, r)
	if errors.Is(err, scale.ErrNoCapacity) || errors.Is(err, scale.ErrTombstone) {
		return PlaceResult{Why: err.Error()}, nil
	}
	if err != nil {
		return PlaceResult{}, fmt.Errorf("claim GPUs for %s: %w", r.GangRef, err)
	}
	out := PlaceResult{Nodes: make([]string, len(leases))}
	for i, l := range leases {
		out.Nodes[i] = l.Node
	}
	out.Port, err = a.Port()
	return out, err
}

// reserve keeps away from nodes that have failed the job, unless there are no others.
func (a *Gangs) reserve(ctx context.Context, r PlaceRequest) ([]scale.Lease, error) {
	leases, err := a.Ledger.ReserveGang(ctx, r.asks(r.Avoid), ReservationTTL)
	if len(r.Avoid) > 0 && errors.Is(err, scale.ErrNoCapacity) {
		return a.Ledger.ReserveGang(ctx, r.asks(nil), ReservationTTL)
	}
	return leases, err
}

// GangStart asks for the ranks of a placed gang.
type GangStart struct {
	PlaceRequest
	Attempt  int       `json:"attempt"`
	Port     int       `json:"port"`
	Deadline time.Time `json:"deadline,omitzero"`
}

// Refusal is why a rank cannot be started.
type Refusal struct {
	Rank    int    `json:"rank"`
	Message string `json:"message"`
}

// GangStarted is what came of a start.
type GangStarted struct {
	Refused []Refusal `json:"refused,omitempty"` // for good
	NotNow  string    `json:"notNow,omitempty"`  // why the rest is not started, and will not be before that passes
	Lost    bool      `json:"lost,omitempty"`    // the GPUs are somebody else's; only in histories, of platforms that did not tell NotNow
	Resumed string    `json:"resumed,omitempty"` // the checkpoint that it begins with, where the platform sees it
}

// StartGang starts the agents of all ranks. Each waits at the barrier.
func (a *Gangs) StartGang(ctx context.Context, r GangStart) (GangStarted, error) {
	a.Claims.Yield(ctx, ClaimYieldMax)
	rec, _, err := a.Jobs.Get(ctx, events.StateKey(r.Key))
	if err != nil {
		return GangStarted{}, fmt.Errorf("read job %s: %w", r.Key, err)
	}
	if rec.UID != r.UID {
		return refuseAll(r.GangRef, fmt.Sprintf("another job is named %s now", r.Key)), nil
	}
	leases, err := a.reserve(ctx, r.PlaceRequest)
	if errors.Is(err, scale.ErrNoCapacity) || errors.Is(err, scale.ErrTombstone) {
		return GangStarted{NotNow: err.Error()}, nil
	}
	if err != nil {
		return GangStarted{}, fmt.Errorf("look for the GPUs of %s: %w", r.GangRef, err)
	}
	place, err := a.place(rec, r, leases)
	if err != nil {
		return refuseAll(r.GangRef, err.Error()), nil
	}
	refused := make([]*Refusal, r.Nodes)
	err = r.each(ctx, func(ctx context.Context, rank int) (err error) {
		refused[rank], err = a.startRank(ctx, r.GangRef, place, rank, leases[rank])
		return err
	})
	if err != nil && !errors.Is(err, ErrNotNow) {
		return GangStarted{}, err
	}
	out := GangStarted{Resumed: place.ResumeFrom}
	for _, x := range refused {
		if x != nil {
			out.Refused = append(out.Refused, *x)
		}
	}
	if err != nil && len(out.Refused) == 0 {
		out.NotNow = err.Error()
	}
	return out, nil
}

func refuseAll(g GangRef, why string) GangStarted {
	var out GangStarted
	for rank := range g.Nodes {
		out.Refused = append(out.Refused, Refusal{rank, why})
	}
	return out
}

// place is what the ranks of a gang have in common.
func (a *Gangs) place(rec events.JobRecord, r GangStart, leases []scale.Lease) (contract.Place, error) {
	dir, err := a.Checkpoints.Dir(rec)
	if err != nil {
		return contract.Place{}, fmt.Errorf("checkpoint directory: %w", err)
	}
	there, err := a.Checkpoints.List(dir)
	if err != nil {
		return contract.Place{}, fmt.Errorf("checkpoint directory: %w", err)
	}
	from, err := contract.Resume(rec.Job.Spec.Checkpoint.Resume, dir, there)
	if err != nil {
		return contract.Place{}, err
	}
	addresses := make([]string, len(leases))
	for i, l := range leases {
		addresses[i] = a.Address(l.Node)
	}
	return contract.Place{
		Job: r.Key, Spec: rec.Job.Spec, Submitted: rec.Submitted, Attempt: r.Attempt, Generation: r.Generation, Addresses: addresses, Port: r.Port,
		CheckpointDir: dir, ResumeFrom: from, Deadline: r.Deadline,
	}, nil
}

func (a *Gangs) startRank(ctx context.Context, g GangRef, place contract.Place, rank int, lease scale.Lease) (*Refusal, error) {
	id, key := g.RankID(rank), events.RankKey(g.Key)
	place.Rank = rank
	access, err := a.Access.AgentAccess(key, id, 0)
	if err != nil {
		return nil, fmt.Errorf("mint the credentials of rank %s: %w", id, err)
	}
	spec := place.Spec.Rank()
	err = a.Provider.Start(ctx, ReplicaSpec{
		ID: id, Key: key, Revision: g.UID, Spec: spec, Lease: lease, Gang: &place,
		Agent: events.AgentConfig{
			Key: key, Replica: id, Revision: g.UID, Spec: spec, Stream: events.ShardStream(0), NATS: access,
			Receipt: events.Receipt{Reserved: lease.Since},
		},
	})
	switch {
	case Permanent(err):
		return &Refusal{rank, err.Error()}, nil
	case errors.Is(err, ErrNotNow): // it names the rank, and people see it as it is
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("start rank %s: %w", id, err)
	}
	if err := a.Ledger.Bind(ctx, id, lease.Epoch, a.Now()); err != nil {
		return nil, fmt.Errorf("bind the lease of rank %s: %w", id, err)
	}
	return nil, nil
}

// GangOpened is what came of opening a barrier.
type GangOpened struct {
	Resumed string `json:"resumed,omitempty"` // the checkpoint that the gang begins with, where only its ranks could say
}

// OpenGang opens the barrier. A rank whose agent is gone is left out: its end is told by itself.
func (a *Gangs) OpenGang(ctx context.Context, g GangRef) (GangOpened, error) {
	c := events.Control{Op: events.OpOpen}
	if a.Checkpoints.Away() {
		opening, err := a.opening(ctx, g)
		if err != nil || opening == nil {
			return GangOpened{}, err
		}
		c.Opening = opening
	}
	err := a.order(ctx, g, c)
	if c.Opening == nil {
		return GangOpened{}, err
	}
	return GangOpened{Resumed: c.Opening.ResumeFrom}, err
}

// opening is what ranks in containers of their own have to hear at the barrier; nil if one of them has
// gone meanwhile, and its gang with it.
func (a *Gangs) opening(ctx context.Context, g GangRef) (*events.Opening, error) {
	all, err := a.Provider.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("look where the ranks of %s are: %w", g, err)
	}
	known := make(map[string]ReplicaStatus, len(all))
	for _, s := range all {
		known[s.ID] = s
	}
	out := &events.Opening{Addresses: make([]string, g.Nodes)}
	for rank := range g.Nodes {
		s, there := known[g.RankID(rank)]
		switch {
		case !there || s.State == RunGone || s.State == RunStopping:
			return nil, nil
		case s.Address == "":
			return nil, fmt.Errorf("rank %s has no address yet", s.ID)
		}
		out.Addresses[rank] = s.Address
	}
	find := events.Control{Op: events.OpFind, Generation: g.Generation}
	out.ResumeFrom, err = a.Orders.Ask(ctx, events.RankKey(g.Key), g.RankID(0), find)
	if err != nil {
		return nil, fmt.Errorf("ask rank %s which checkpoint there is: %w", g.RankID(0), err)
	}
	return out, nil
}

// SaveGang asks for a checkpoint. A rank that does not hear it, or has nothing to save, is no reason to
// ask again: who wanted one sees whether it comes.
func (a *Gangs) SaveGang(ctx context.Context, g GangRef) error {
	return g.each(ctx, func(ctx context.Context, rank int) error {
		_ = a.Orders.SendControl(ctx, events.RankKey(g.Key), g.RankID(rank), events.Control{Op: events.OpSave, Generation: g.Generation})
		return ctx.Err()
	})
}

func (a *Gangs) order(ctx context.Context, g GangRef, c events.Control) error {
	c.Generation = g.Generation
	return g.each(ctx, func(ctx context.Context, rank int) error {
		err := a.Orders.SendControl(ctx, events.RankKey(g.Key), g.RankID(rank), c)
		if errors.Is(err, events.ErrNotFound) {
			state, lookErr := runState(ctx, a.Provider, g.RankID(rank))
			if lookErr != nil {
				return lookErr
			}
			if state == RunGone || state == RunStopping {
				return nil
			}
		}
		return err
	})
}

// Notice asks a gang to go.
type Notice struct {
	GangRef
	KillAt time.Time          `json:"killAt"` // by the workflow's clock
	Grace  functions.Duration `json:"grace"`  // until then, when it was asked: clocks may disagree
}

// NoticeGang tells every rank why it has to go and by when, and the provider to see to that. An
// agent that cannot be reached hears it from its provider, without the reason.
func (a *Gangs) NoticeGang(ctx context.Context, n Notice) error {
	grace := n.Grace.D()
	c := events.Control{Op: events.OpNotice, Generation: n.Generation, Cause: n.Cause, GraceSeconds: grace.Seconds()}
	return n.each(ctx, func(ctx context.Context, rank int) error {
		id := n.RankID(rank)
		if err := a.Ledger.MarkDraining(ctx, id); err != nil && !errors.Is(err, scale.ErrUnknownHolder) {
			return fmt.Errorf("mark the lease of rank %s draining: %w", id, err)
		}
		_ = a.Orders.SendControl(ctx, events.RankKey(n.Key), id, c)
		if err := a.Provider.Stop(ctx, id, grace); err != nil {
			return fmt.Errorf("stop rank %s: %w", id, err)
		}
		return nil
	})
}

// GangKill ends a gang.
type GangKill struct {
	GangRef
	// Grace is for the agents to say how their rank has ended; 0: their word is not waited for.
	Grace functions.Duration `json:"grace,omitempty"`
}

// KillGang ends every process of a gang and returns the ranks that its provider knows nothing of: they
// never ran, and nobody else will say so.
func (a *Gangs) KillGang(ctx context.Context, g GangKill) ([]int, error) {
	err := g.each(ctx, func(ctx context.Context, rank int) error {
		if err := a.Provider.Stop(ctx, g.RankID(rank), g.Grace.D()); err != nil {
			return fmt.Errorf("kill rank %s: %w", g.RankID(rank), err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	states, err := runStates(ctx, a.Provider)
	if err != nil {
		return nil, err
	}
	var never []int
	for rank := range g.Nodes {
		if _, known := states[g.RankID(rank)]; !known {
			never = append(never, rank)
		}
	}
	return never, nil
}

// ReleaseGang gives the GPUs of a gang back, once its provider says that nothing of it is left.
func (a *Gangs) ReleaseGang(ctx context.Context, g GangRef) error {
	err := g.each(ctx, func(ctx context.Context, rank int) error { // from here on a start that is late is refused
		if err := a.Provider.Stop(ctx, g.RankID(rank), 0); err != nil {
			return fmt.Errorf("stop rank %s: %w", g.RankID(rank), err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	states, err := runStates(ctx, a.Provider)
	if err != nil {
		return err
	}
	for rank := range g.Nodes {
		if s, known := states[g.RankID(rank)]; known && s != RunGone {
			return fmt.Errorf("%w: rank %s is %s", ErrStillRunning, g.RankID(rank), s)
		}
	}
	err = g.each(ctx, func(ctx context.Context, rank int) error {
		id := g.RankID(rank)
		if err := a.Ledger.Release(ctx, id, g.Cause); err != nil && !errors.Is(err, scale.ErrUnknownHolder) {
			return fmt.Errorf("release the lease of rank %s: %w", id, err)
		}
		if err := a.Provider.Forget(ctx, id); err != nil {
			return fmt.Errorf("forget rank %s: %w", id, err)
		}
		return nil
	})
	if a.Freed != nil {
		a.Freed()
	}
	return err
}

// Keep asks for old checkpoints to be cleared.
type Keep struct {
	Key   functions.Key `json:"key"`
	UID   string        `json:"uid"`
	Saved job.Saved     `json:"saved,omitzero"` // the newest that was reported
}

// ClearCheckpoints removes what is beyond checkpoint.keep, and what was begun and never finished, of a job without a
// gang.
func (a *Gangs) ClearCheckpoints(ctx context.Context, k Keep) error {
	rec, _, err := a.Jobs.Get(ctx, events.StateKey(k.Key))
	if errors.Is(err, events.ErrNotFound) || err == nil && rec.UID != k.UID {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read job %s: %w", k.Key, err)
	}
	dir, err := a.Checkpoints.Dir(rec)
	if err != nil {
		return err
	}
	there, err := a.Checkpoints.List(dir)
	if err != nil {
		return err
	}
	keeping := contract.Keeping{Checkpoint: rec.Job.Spec.Checkpoint, Submitted: rec.Submitted, Saved: k.Saved}
	return a.Checkpoints.Clear(dir, keeping.Surplus(there))
}

// JobChanged tells of a step in the life of a job. That it has its GPUs is told once those have theirs that were let in
// with it.
func (a *Gangs) JobChanged(ctx context.Context, n JobNews) error {
	if n.State.Phase == job.Placed {
		a.Claims.Yield(ctx, ClaimYieldMax)
	}
	return a.News.JobChanged(ctx, n)
}
