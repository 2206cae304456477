package gateway

import "time"

// patience is how long callers are kept waiting for what. Tests have less of it.
type patience struct {
	// expire is how long after its deadline a request may still be answered as expired: agents
	// do so at once, the controller at its next reconcile.
	expire time.Duration
	// look is how often a waiting call looks for its record. The reply comes by itself, except
	// from an agent that was killed between writing the record and replying.
	look time.Duration
	// reply is how long a reply may come after its record was seen.
	reply time.Duration
	// waiting is how often a stream without news says that it lives: proxies and clients give up
	// on a silent connection, the earliest after some 10 s.
	waiting time.Duration
	// write bounds one write to a caller that does not read what it gets.
	write time.Duration
	// read bounds reading the body of a request: the largest one in two minutes is half a megabit
	// a second.
	read time.Duration
}

var standard = patience{
	expire: 5 * time.Second, look: 10 * time.Second, reply: 2 * time.Second, waiting: 3 * time.Second,
	write: 30 * time.Second, read: 2 * time.Minute,
}
