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
	s.disconnect(names)
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
	s.disconnect(names)
}

// disconnect ends connections by the names that roles gave them. Those that sign with an nkey
// are listed under the key, so all of them come back in.
func (s *Server) disconnect(names map[string]bool) {
	if len(names) == 0 {
		return
	}
	ns := s.server()
	open, err := ns.Connz(&server.ConnzOptions{Username: true, Limit: maxConnections, State: server.ConnOpen})
	if err != nil {
		s.o.Logger.Warn("nats: connections cannot be listed", "error", err)
		return
	}
	for _, c := range open.Conns {
		if names[c.AuthorizedUser] || nkeys.IsValidPublicUserKey(c.AuthorizedUser) {
			_ = ns.DisconnectClientByID(c.Cid) // it may have gone by itself
		}
	}
}

// maxConnections is above what the broker lets in.
const maxConnections = server.DEFAULT_MAX_CONNECTIONS
