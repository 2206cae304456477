package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/job/contract"
)

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
