// Package events is the only place that knows NATS: subjects, the CloudEvents codec,
// streams, consumers, publishing, terminal records, replies, dead letters and key-value.
//
// # Subjects
//
// Every subject is built and read in subjects.go. <ns> and <fn> are DNS-1123 labels, <class>
// is interactive, standard or batch, and <id> is an [IDToken].
//
//	stoker.fn.<ns>.<fn>.<class>            a request; stored in the function's shard
//	stoker.wake.<ns>.<fn>.<class>          headers of a request that was stored
//	stoker.result.<ns>.<fn>.<id>           terminal record of a request
//	stoker.dead.<ns>.<fn>.<class>          request whose attempts are spent
//	stoker.invoke.<ns>.<fn>                plain request-reply, answered by a gateway
//	stoker.hb.<ns>.<fn>.<replica>          heartbeat of a replica's agent
//	stoker.ctl.<ns>.<fn>.<replica>         orders to a replica's agent
//	stoker.cancel.<ns>.<fn>                ids of requests whose callers went away
//	stoker.event.<ns>.<kind>.<fn>.<what>   what the platform says happened
//	stoker.shard.<nn>                      owned by a shard's stream while it owns no function
//
// # The life of a request
//
//	published ──► stored ──► pulled ──► record written ──► acknowledged ──► replied
//	    │           │          │ ▲
//	 refused     peeked      failed: counted, given back with a delay;
//	             by the        attempts spent: dead letter, then record "error"
//	             reaper: record "expired" or "shed", then removed
//
// A request is accepted once the broker has stored it. From then on it runs at least once
// and ends in exactly one terminal record, because a record's subject holds one message and
// the broker refuses a second one. The reply is a copy of the record.
//
// # States
//
// A queue is open while its three consumers exist, and closed otherwise; a closed queue
// still stores requests and says so on the wake subject. A function is deployed while a
// shard owns its subjects, retired when it does not any more but requests are left, and
// undeployed after that. A record is ok, error, expired or shed, and never changes.
//
// # What fails, and how it shows
//
//   - Nobody owns the subject: [ErrNotDeployed]; the broker itself refuses the publish.
//   - A class has [QueueCeiling] requests: [ErrQueueFull]; other classes and functions go on.
//   - The broker is told that its disk is nearly full: [ErrNoRoom] for what is new, see [Bus.Hold].
//   - An event cannot be read: [MalformedError], and a record with cause [CauseBadRequest].
//   - A request has its record already: [ErrRecordExists] with that record.
//   - The records have no room: [ErrResultsFull]; requests stay unacknowledged meanwhile.
//   - Two writers of one key: [ErrConflict] for the slower one.
//   - The broker is away: [ErrNotConnected]; connections come back by themselves.
//   - A chunk of an answer is missing: [ErrGap], never a silent hole.
package events
