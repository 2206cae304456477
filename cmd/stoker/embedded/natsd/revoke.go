package natsd

import (
	"maps"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// Revoke refuses the tokens of replicas that are gone, and ends what connections they have. until
// is when the last of each expires by itself. It returns all that is revoked and not expired yet,
// to be given to the next start in [Options].
func (s *Server) Revoke(replicas []string, until time.Time) map[string]time.Time {
	r := s.known
	r.mu.Lock()
	if r.revoked == nil {
		r.revoked = map[string]time.Time{}
	}
	now := r.o.Now()
	maps.DeleteFunc(r.revoked, func(_ string, expires time.Time) bool { return expires.Before(now) })
	for _, id := range replicas {
		r.revoked[id] = until
	}
	all := maps.Clone(r.revoked)
	r.mu.Unlock()
	names := map[string]bool{}
	for _, id := range replicas {
		names[agentPrefix+id] = true
	}
	if len(names) > 0 {
		s.disconnect(func(as string) bool { return names[as] })
	}
	return all
}

// DisconnectUsers ends the connections of users whose rights changed; "" is those without
// credentials. Who still may come back does so by itself.
func (s *Server) DisconnectUsers(users []string) {
	names := map[string]bool{}
	for _, u := range users {
		if u == "" {
			names[publicName] = true
		} else {
			names[userPrefix+u] = true
		}
	}
	if len(names) > 0 {
		s.disconnect(func(as string) bool { return names[as] || s.signsFor(as, names) })
	}
}

// signsFor tells whether a connection is that of one of some users by its nkey, under which the
// broker lists it. A key that is nobody's any more was that of one of them.
func (s *Server) signsFor(key string, names map[string]bool) bool {
	if !nkeys.IsValidPublicUserKey(key) {
		return false
	}
	p, known := s.known.o.Keeper.ByKey(key)
	return !known || names[connectionName(p)]
}

// disconnect ends connections by what the broker lists them as: the name that roles gave them, or
// the nkey that they sign with.
func (s *Server) disconnect(gone func(as string) bool) {
	ns := s.server()
	open, err := ns.Connz(&server.ConnzOptions{Username: true, Limit: maxConnections, State: server.ConnOpen})
	if err != nil {
		s.o.Logger.Warn("nats: connections cannot be listed", "error", err)
		return
	}
	for _, c := range open.Conns {
		if gone(c.AuthorizedUser) {
			_ = ns.DisconnectClientByID(c.Cid) // it may have gone by itself
		}
	}
}

// maxConnections is above what the broker lets in.
const maxConnections = server.DEFAULT_MAX_CONNECTIONS
