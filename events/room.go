package events

import "context"

// Room is how much the stream of terminal records holds, and may hold.
type Room struct {
	Records, MostRecords uint64
	Bytes, MostBytes     uint64
}

// Share is how full it is, from 0 to 1, by whichever limit is nearer.
func (r Room) Share() float64 {
	share := func(n, most uint64) float64 {
		if most == 0 {
			return 0 // without a limit
		}
		return float64(n) / float64(most)
	}
	return max(share(r.Records, r.MostRecords), share(r.Bytes, r.MostBytes))
}

// RecordRoom tells how much room the terminal records take, with one call to the broker. Where
// they have none left, requests stay with their agents and new ones wait ([ErrResultsFull]).
func (b *Bus) RecordRoom(ctx context.Context) (Room, error) {
	s, err := b.js.Stream(ctx, StreamResults)
	if err != nil {
		return Room{}, wrap("stream "+StreamResults, err)
	}
	info := s.CachedInfo()
	return Room{
		Records: info.State.Msgs, MostRecords: uint64(max(info.Config.MaxMsgs, 0)),
		Bytes: info.State.Bytes, MostBytes: uint64(max(info.Config.MaxBytes, 0)),
	}, nil
}
