package natsd

import (
	"fmt"

	"github.com/nats-io/nats-server/v2/server"
)

// Stats are the broker's own counts. Messages count since its start, JetStream's own included.
type Stats struct {
	In, Out                                        uint64 // messages
	Connections, Subscriptions, Streams, Consumers int
}

// Stats asks the broker. It takes the broker's locks for some microseconds: for whoever scrapes
// metrics, not for a path of requests.
func (s *Server) Stats() (Stats, error) {
	ns := s.server() // of the day: it may be started again meanwhile
	v, err := ns.Varz(&server.VarzOptions{})
	if err != nil {
		return Stats{}, fmt.Errorf("counts of the embedded NATS: %w", err)
	}
	js, err := ns.Jsz(&server.JSzOptions{})
	if err != nil {
		return Stats{}, fmt.Errorf("counts of JetStream: %w", err)
	}
	return Stats{
		In: uint64(v.InMsgs), Out: uint64(v.OutMsgs), Connections: v.Connections, Subscriptions: int(v.Subscriptions),
		Streams: js.Streams, Consumers: js.Consumers,
	}, nil
}
