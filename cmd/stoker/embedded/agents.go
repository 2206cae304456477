package embedded

import (
	"time"

	"stoker.dev/stoker/cmd/stoker/embedded/token"
	"stoker.dev/stoker/events"
)

// AgentAccess is what the agent of a replica needs to reach the broker. With an external
// one its permissions are the operator's to set, on the user of AgentCreds.
func (p *Platform) AgentAccess(c token.Claims) events.NATSAccess {
	if p.natsd != nil {
		a := events.NATSAccess{URL: p.natsd.URL(), Token: token.Mint(p.keys.HMAC, c, time.Now())}
		if p.listen.TLS != nil {
			a.CA, a.ServerName = p.listen.CertFile, p.listen.Name
		}
		return a
	}
	creds := p.nats.AgentCreds
	if creds == "" {
		creds = p.nats.Creds
	}
	return events.NATSAccess{URL: p.nats.URL, Creds: creds, CA: p.nats.CA, Cert: p.nats.Cert, KeyFile: p.nats.Key}
}

// RenewAgent is the next token of an agent that lives.
func (p *Platform) RenewAgent(old string) (string, error) {
	return token.Renew(p.keys.HMAC, old, time.Now())
}

// RevokeAgents refuses the tokens of replicas that are gone, in this process and the next ones.
// Credentials of an external broker are the operator's.
func (p *Platform) RevokeAgents(replicas []string) error {
	if p.natsd == nil {
		return nil
	}
	return p.dir.WriteRevoked(p.natsd.Revoke(replicas, time.Now().Add(token.Life)))
}

// DisconnectUsers ends the connections of users whose rights changed; "" is those without
// credentials.
func (p *Platform) DisconnectUsers(names []string) {
	if p.natsd != nil {
		p.natsd.DisconnectUsers(names)
	}
}
