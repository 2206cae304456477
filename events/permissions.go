package events

import "stoker.dev/stoker/functions"

// Permissions are the subjects a connection may publish to and subscribe to, and those of the
// latter that it may not.
type Permissions struct {
	Publish   []string
	Subscribe []string
	Deny      []string
}

// AgentPermissions are all an agent needs, and nothing of another function: pull from its
// own consumers and acknowledge, write and read its function's records, dead letters and
// failure counts, beat, take orders, and answer inboxes.
func AgentPermissions(k functions.Key, replica, stream string) Permissions {
	p := Permissions{
		Publish: []string{
			ResultFilter(k),
			DeadFilter(k),
			HeartbeatSubject(k, replica),
			"_INBOX.>", "_R.>",
			apiDirectGet(StreamResults, ResultFilter(k)),
			apiDirectGet(bucketStream(BucketAttempts), bucketSubject(BucketAttempts, StateKey(k)+".*")),
			bucketSubject(BucketAttempts, StateKey(k)+".*"),
		},
		Subscribe: []string{
			AgentInbox(replica) + ".>",
			ControlSubject(k, replica),
			CancelSubject(k),
		},
	}
	for _, c := range functions.Classes() {
		name := Consumer(k, c)
		p.Publish = append(p.Publish,
			NextSubject(stream, name),
			"$JS.API.CONSUMER.INFO."+stream+"."+name,
			"$JS.ACK."+stream+"."+name+".>",
		)
	}
	return p
}

// PublicPermissions are those of a client without credentials: publish requests, invoke, and
// listen for its own answers. NATS cannot tell a client's own inbox from another's by
// permissions, since the client makes it up after it connected; [UserPermissions] can.
func PublicPermissions() Permissions {
	return Permissions{Publish: []string{AllRequests, AllInvokes}, Subscribe: []string{"_INBOX.>"}}
}

// UserPermissions are those of a user who may send requests to the functions of some namespaces;
// "*" is all of them. Answers arrive below [UserInbox] alone, where nobody else listens.
func UserPermissions(user string, namespaces []string) Permissions {
	p := Permissions{Subscribe: []string{UserInbox(user) + ".>"}}
	for _, ns := range namespaces {
		p.Publish = append(p.Publish, join(kindFn, ns, ">"), join(kindInvoke, ns, "*"))
	}
	return p
}

// OwnerPermissions are those of whoever holds the platform's token, outside of the platform
// itself: everything, but for listening where the answers to others arrive. Own answers arrive
// below another prefix, such as that of a user's inbox: what an administrator reads, anybody
// could read on _INBOX.
func OwnerPermissions() Permissions {
	return Permissions{Publish: []string{">"}, Subscribe: []string{">"}, Deny: []string{"_INBOX.>", "_INBOX"}}
}

// apiDirectGet is the broker's own subject that reads the last message of a subject.
func apiDirectGet(stream, subject string) string {
	return "$JS.API.DIRECT.GET." + stream + "." + subject
}
