package natsd

import (
	"crypto/subtle"
	"log/slog"

	"github.com/nats-io/nats-server/v2/server"

	"stoker.dev/stoker/cmd/stoker/embedded/token"
	"stoker.dev/stoker/events"
)

// roles tells who a connecting client is:
//
//	admin   presents the admin token: the platform and the CLI, everything is allowed
//	agent   presents a token minted for one replica: its own queue, records and heartbeats
//	client  presents nothing: publishes requests, reads results and stream infos
//
// Anything else is refused; a wrong token never falls back to client, so that a mistake
// shows at once.
type roles struct {
	admin string
	key   []byte
	log   *slog.Logger
}

var _ server.Authentication = (*roles)(nil)

// Check decides on one connection.
func (r *roles) Check(c server.ClientAuthentication) bool {
	user := r.user(c.GetOpts())
	if user == nil {
		r.log.Warn("nats: credentials refused", "remote", remote(c))
		return false
	}
	c.RegisterUser(user)
	return true
}

func (r *roles) user(o *server.ClientOpts) *server.User {
	switch {
	case o.Username != "" || o.Password != "" || o.JWT != "" || o.Nkey != "":
		return nil
	case o.Token == "":
		return &server.User{Username: "client", Permissions: permissions(events.ClientPermissions())}
	case subtle.ConstantTimeCompare([]byte(o.Token), []byte(r.admin)) == 1:
		return &server.User{Username: "admin"}
	}
	claims, err := token.Verify(r.key, o.Token)
	if err != nil {
		return nil
	}
	return &server.User{Username: "agent " + claims.Replica, Permissions: permissions(events.AgentPermissions(claims.Key, claims.Replica, claims.Stream))}
}

func remote(c server.ClientAuthentication) string {
	if a := c.RemoteAddress(); a != nil {
		return a.String()
	}
	return "in process"
}

// permissions in the broker's own type.
func permissions(p events.Permissions) *server.Permissions {
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: p.Publish},
		Subscribe: &server.SubjectPermission{Allow: p.Subscribe},
	}
}
