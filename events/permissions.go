package events

import "stoker.dev/stoker/functions"

// Permissions are the subjects a connection may publish to and subscribe to.
type Permissions struct {
	Publish   []string
	Subscribe []string
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

// ClientPermissions are what anybody on this machine may do: publish requests, invoke,
// say that a request is not wanted any more, and read records.
func ClientPermissions() Permissions {
	return Permissions{
		Publish: []string{
			AllRequests, AllInvokes, AllCancels,
			apiDirectGet(StreamResults, ">"),
			"$JS.API.DIRECT.GET." + StreamResults,
			"$JS.API.STREAM.MSG.GET." + StreamResults,
			"$JS.API.INFO",
			"$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.INFO.>",
			"$JS.API.CONSUMER.NAMES.>", "$JS.API.CONSUMER.LIST.>", "$JS.API.CONSUMER.INFO.>",
		},
		Subscribe: []string{"_INBOX.>"},
	}
}

// apiDirectGet is the broker's own subject that reads the last message of a subject.
func apiDirectGet(stream, subject string) string {
	return "$JS.API.DIRECT.GET." + stream + "." + subject
}
