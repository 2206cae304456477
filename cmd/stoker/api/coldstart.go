package api

import (
	"time"

	"stoker.dev/stoker/events"
)

// ColdStartOf turns a receipt's times into the length of each phase. A phase whose ends are not
// both known is 0.
func ColdStartOf(id string, r events.Receipt) ColdStart {
	first := r.Demand
	if first.IsZero() {
		first = r.Reserved
	}
	return ColdStart{
		Replica: id, At: r.Ready, ReserveMS: ms(first, r.Reserved), SpawnMS: ms(r.Reserved, r.Spawned),
		LoadMS: ms(r.Spawned, r.Loading), ReadyMS: ms(r.Loading, r.Ready),
		FirstRequestMS: ms(r.Ready, r.FirstRequest), FirstByteMS: ms(r.Ready, r.FirstByte), TotalMS: ms(first, r.Ready),
	}
}

func ms(from, to time.Time) float64 {
	if from.IsZero() || to.IsZero() || to.Before(from) {
		return 0
	}
	return float64(to.Sub(from)) / float64(time.Millisecond)
}
