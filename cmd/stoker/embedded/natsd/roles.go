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
		return &server.User{Username: "client", Permissions: clientPermissions()}
	case subtle.ConstantTimeCompare([]byte(o.Token), []byte(r.admin)) == 1:
		return &server.User{Username: "admin"}
	}
	claims, err := token.Verify(r.key, o.Token)
	if err != nil {
		return nil
	}
	return &server.User{Username: "agent " + claims.Replica, Permissions: agentPermissions(claims)}
}

func remote(c server.ClientAuthentication) string {
	if a := c.RemoteAddress(); a != nil {
		return a.String()
	}
	return "in process"
}

// clientPermissions are enough for the stock nats CLI: publish, request, read results, look
// at streams. Nothing that changes a stream, takes a request from another, or answers one.
func clientPermissions() *server.Permissions {
	return &server.Permissions{
		Publish: allow(
			events.AllRequests, events.AllInvokes, events.AllCancels,
			jsAPI+"INFO", jsAPI+"STREAM.NAMES", jsAPI+"STREAM.LIST", jsAPI+"STREAM.INFO.*",
			jsAPI+"CONSUMER.NAMES.*", jsAPI+"CONSUMER.LIST.*", jsAPI+"CONSUMER.INFO.*.*",
			jsAPI+"STREAM.MSG.GET."+events.StreamResults,
			jsAPI+"DIRECT.GET."+events.StreamResults, jsAPI+"DIRECT.GET."+events.StreamResults+".>",
		),
		Subscribe: allow("_INBOX.>"),
	}
}

// agentPermissions let a replica do its own work and see nothing of any other function.
func agentPermissions(c token.Claims) *server.Permissions {
	publish := []string{
		events.HeartbeatSubject(c.Key, c.Replica), events.ResultFilter(c.Key), events.DeadFilter(c.Key),
		jsAPI + "DIRECT.GET." + events.StreamResults + "." + events.ResultFilter(c.Key),
		"_INBOX.>", "_R.>", // replies; see events.ReplyAllowed
	}
	publish = append(publish, attemptSubjects(c)...)
	for _, consumer := range c.Consumers {
		publish = append(publish, consumerSubjects(c.Stream, consumer)...)
	}
	return &server.Permissions{
		Publish: allow(publish...),
		Subscribe: allow(events.AgentInbox(c.Replica)+".>",
			events.ControlSubject(c.Key, c.Replica), events.CancelSubject(c.Key)),
	}
}

// consumerSubjects are what pulling from one consumer and acknowledging takes.
func consumerSubjects(stream, consumer string) []string {
	name := stream + "." + consumer
	return []string{jsAPI + "CONSUMER.INFO." + name, jsAPI + "CONSUMER.MSG.NEXT." + name, "$JS.ACK." + name + ".>"}
}

// attemptSubjects are what counting failed attempts of its own function takes: bind to the
// bucket, read one key, write one key.
func attemptSubjects(c token.Claims) []string {
	keys := "$KV." + events.BucketAttempts + "." + events.StateKey(c.Key) + ".*"
	bucket := "KV_" + events.BucketAttempts
	return []string{jsAPI + "STREAM.INFO." + bucket, jsAPI + "DIRECT.GET." + bucket + "." + keys, keys}
}

// jsAPI is the prefix of JetStream's API subjects.
const jsAPI = "$JS.API."

func allow(subjects ...string) *server.SubjectPermission {
	return &server.SubjectPermission{Allow: subjects}
}
