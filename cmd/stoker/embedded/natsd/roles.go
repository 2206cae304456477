package natsd

import (
	"crypto/subtle"
	"encoding/base64"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"stoker.dev/stoker/cmd/stoker/access"
	"stoker.dev/stoker/cmd/stoker/embedded/token"
	"stoker.dev/stoker/events"
)

// Keeper knows the platform's users. See package doorkeeper.
type Keeper interface {
	ByToken(token string) (access.Principal, bool) // "" is nobody's
	ByKey(public string) (access.Principal, bool)
}

// roles tells who a connecting client is:
//
//	platform  the in-process connection: everything
//	owner     presents the platform's token: everything, but for others' answers
//	user      presents a token or signs with an nkey: requests to the functions of its namespaces
//	agent     presents a token minted for one replica: its own queue, records and heartbeats
//	public    presents nothing, where that is allowed: requests
//
// Anything else is refused; a wrong token never falls back to public, so that a mistake shows at
// once. Users and public are in an account of their own, see accounts.go.
type roles struct {
	*known
	opened chan struct{}   // closed once guests is there
	guests *server.Account // of users and public; nil: the broker does not come up
}

// known is what stays when the broker is started again in place.
type known struct {
	o      Options
	secret string // of the in-process connection

	mu      sync.RWMutex
	revoked map[string]time.Time // replica → when its last token expires
}

var _ server.Authentication = (*roles)(nil)

// Names under which connections are known, see [Server.Disconnect].
const (
	publicName  = "public"
	ownerName   = "owner"
	userPrefix  = "user "
	agentPrefix = "agent "
)

// Check decides on one connection, and once more when it is listed: rights that changed before are
// seen by the second look, and those that change after it find the connection in the list.
func (r *roles) Check(c server.ClientAuthentication) bool {
	shown := *c.GetOpts() // what is registered takes the place of what was shown
	user := r.user(c, &shown)
	if user != nil {
		c.RegisterUser(user)
		if reflect.DeepEqual(user, r.user(c, &shown)) {
			return true
		}
	}
	r.o.Logger.Warn("nats: credentials refused", "remote", remote(c))
	return false
}

// user is who shows some credentials, nil for whoever is not let in.
func (r *roles) user(c server.ClientAuthentication, o *server.ClientOpts) *server.User {
	switch {
	case c.Kind() != server.CLIENT, o.Username != "" || o.Password != "" || o.JWT != "":
		return nil
	case o.Nkey != "" && o.Token == "":
		return r.signed(o, c.GetNonce())
	case o.Nkey != "":
		return nil
	case subtle.ConstantTimeCompare([]byte(o.Token), []byte(r.secret)) == 1:
		return &server.User{Username: "platform"}
	}
	if p, ok := r.o.Keeper.ByToken(o.Token); ok {
		return r.principal(p)
	}
	return r.agent(o.Token)
}

// signed is the user whose key signed the nonce that the broker sent this connection.
func (r *roles) signed(o *server.ClientOpts, nonce []byte) *server.User {
	p, ok := r.o.Keeper.ByKey(o.Nkey)
	if !ok || len(nonce) == 0 {
		return nil
	}
	signature, err := base64.RawURLEncoding.DecodeString(o.Sig)
	if err != nil {
		return nil
	}
	key, err := nkeys.FromPublicKey(o.Nkey)
	if err != nil || key.Verify(nonce, signature) != nil {
		return nil
	}
	return r.principal(p)
}

// principal is a user with the rights of a principal.
func (r *roles) principal(p access.Principal) *server.User {
	<-r.opened // some microseconds after the broker listens
	switch {
	case r.guests == nil:
		return nil
	case !p.Named():
		return &server.User{Username: publicName, Account: r.guests, Permissions: permissions(events.PublicPermissions())}
	case p.Role == access.Admin:
		return &server.User{Username: connectionName(p), Permissions: permissions(events.OwnerPermissions())}
	}
	var namespaces []string
	for _, ns := range p.Namespaces {
		if p.Somewhere(access.Invoke) {
			namespaces = append(namespaces, ns)
		}
	}
	return &server.User{Username: connectionName(p), Account: r.guests, Permissions: permissions(events.UserPermissions(p.Name, namespaces))}
}

func connectionName(p access.Principal) string {
	if p.Name == access.Platform().Name {
		return ownerName
	}
	return userPrefix + p.Name
}

// agent is the agent of the replica that a token was minted for. The broker ends its connection
// when the token expires; by then the agent has found a newer one.
func (r *roles) agent(tok string) *server.User {
	claims, err := token.Verify(r.o.AgentKey, tok, r.o.Now())
	if err != nil || r.isRevoked(claims.Replica) {
		return nil
	}
	return &server.User{
		Username: agentPrefix + claims.Replica, ConnectionDeadline: claims.Expires(),
		Permissions: permissions(events.AgentPermissions(claims.Key, claims.Replica, claims.Stream)),
	}
}

func (r *known) isRevoked(replica string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, ok := r.revoked[replica]
	return ok
}

func remote(c server.ClientAuthentication) string {
	if a := c.RemoteAddress(); a != nil {
		return a.String()
	}
	return "in process"
}

// permissions in the broker's own type, where an empty list of what is allowed would mean
// everything.
func permissions(p events.Permissions) *server.Permissions {
	return &server.Permissions{Publish: subjects(p.Publish, nil), Subscribe: subjects(p.Subscribe, p.Deny)}
}

func subjects(allow, deny []string) *server.SubjectPermission {
	if len(allow) == 0 {
		return &server.SubjectPermission{Deny: []string{">"}}
	}
	return &server.SubjectPermission{Allow: slices.Clone(allow), Deny: slices.Clone(deny)}
}
