package platform

import (
	"context"
	"fmt"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/cmd/stoker/embedded"
	"stoker.dev/stoker/cmd/stoker/embedded/token"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// renewEvery is well within a token's life, so that agents always hold one that is good for most
// of it when the platform goes away.
const renewEvery = token.Life / 4

// minter mints what an agent may use.
type minter struct{ servers *embedded.Platform }

// AgentAccess implements [activities.Access].
func (m minter) AgentAccess(k functions.Key, replica string, shard int) (events.NATSAccess, error) {
	return m.servers.AgentAccess(token.Claims{Key: k, Replica: replica, Stream: events.ShardStream(shard)}), nil
}

// keepAgents renews the tokens of replicas that live, first of all those of replicas that outlived
// the last platform, and revokes those of replicas that are gone.
func (p *Platform) keepAgents(ctx context.Context) error {
	p.renewAgents()
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	changes, err := p.provider.Watch(watching)
	if err != nil {
		cancel()
		return fmt.Errorf("watch the replicas: %w", err)
	}
	p.background(ctx, func(ctx context.Context) {
		defer cancel()
		tick := time.NewTicker(renewEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				p.renewAgents()
			case s, open := <-changes:
				if !open {
					return
				}
				p.revokeAgents(gone(s, changes))
			}
		}
	})
	return nil
}

// gone are the replicas that are gone, of one change and those that wait behind it.
func gone(s activities.ReplicaStatus, more <-chan activities.ReplicaStatus) []string {
	var ids []string
	for open := true; open; {
		if s.State == activities.RunGone {
			ids = append(ids, s.ID)
		}
		select {
		case s, open = <-more:
		default:
			return ids
		}
	}
	return ids
}

func (p *Platform) renewAgents() {
	r, ok := p.provider.(activities.Renewer)
	if !ok {
		return
	}
	if err := r.RenewTokens(p.servers.RenewAgent); err != nil {
		p.Log.Error("tokens of agents are not renewed; agents that lose their connection stay away until they are", "error", err)
	}
}

func (p *Platform) revokeAgents(replicas []string) {
	if len(replicas) == 0 {
		return
	}
	if err := p.servers.RevokeAgents(replicas); err != nil {
		p.Log.Error("tokens of replicas that are gone are refused until the platform restarts, and may be good again then for a day", "error", err)
	}
}
