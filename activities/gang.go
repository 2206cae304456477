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
