package events

// Traffic counts the messages of one connection since it was made, answers to its own requests
// included.
type Traffic struct {
	Received, Sent uint64
}

// Traffic tells how many messages this connection has carried.
func (b *Bus) Traffic() Traffic {
	s := b.nc.Stats()
	return Traffic{Received: s.InMsgs, Sent: s.OutMsgs}
}
