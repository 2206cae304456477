package platform

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stoker.dev/stoker/events"
)

const (
	// recordsEvery is how often the room of the terminal records is looked at: one call, whatever the number of functions.
	recordsEvery = 5 * time.Second
	// recordsTimeout bounds one look.
	recordsTimeout = 2 * time.Second
)

// How full the terminal records are. Where retention takes away what was written an hour ago, being full comes and goes
// by the second: so each level is told once, until there is room again.
const (
	levelRoom = iota
	levelNearly
	levelFull
)

// Shares at which a level begins, and at which there is room again.
const (
	shareNearly = 0.8
	shareFull   = 0.999
	shareRoom   = 0.7
)

// fuller is the level at a share, after another level.
func fuller(level int, share float64) int {
	switch {
	case share >= shareFull:
		return levelFull
	case share >= shareNearly:
		return max(level, levelNearly)
	case share < shareRoom:
		return levelRoom
	}
	return level
}

// recordRoom is the broker as the watch over the records sees it.
type recordRoom interface {
	RecordRoom(ctx context.Context) (events.Room, error)
}

// records watches how full the terminal records are. Full, they stop every function: whoever is done keeps its slot
// until its record is written.
type records struct {
	room recordRoom
	log  *slog.Logger

	last  atomic.Pointer[events.Room] // nil until the first look
	level int                         // of the watch's goroutine alone
}

// run watches until ctx ends.
func (r *records) run(ctx context.Context) {
	tick := time.NewTicker(recordsEvery)
	defer tick.Stop()
	for {
		r.look(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (r *records) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, recordsTimeout)
	defer cancel()
	room, err := r.room.RecordRoom(ctx)
	if err != nil {
		r.log.Debug("the room of the terminal records is not known", "error", err)
		return
	}
	r.last.Store(&room)
	was := r.level
	r.level = fuller(was, room.Share())
	if r.level != was {
		r.tell(room)
	}
}

// whatToDo is for whoever reads the log.
const whatToDo = "shorten spec.results.retention of the functions with the most requests, keep less of each (results.record: status), " +
	"or start with more --records and --record-room; records go by themselves once their retention is over"

func (r *records) tell(room events.Room) {
	held := []any{
		"records", fmt.Sprintf("%d of %d", room.Records, room.MostRecords), "MiB", fmt.Sprintf("%d of %d", room.Bytes>>20, room.MostBytes>>20),
	}
	switch r.level {
	case levelFull:
		r.log.Error("the terminal records are full: requests that are done wait until theirs can be written, and new ones wait behind them", append(held, "hint", whatToDo)...)
	case levelNearly:
		r.log.Warn("the terminal records are nearly full", append(held, "hint", whatToDo)...)
	default:
		r.log.Info("the terminal records have room again", held...)
	}
}

var (
	descRecords     = prometheus.NewDesc("stoker_records", "Terminal records, by what: held; limit, at which requests that are done wait.", []string{"what"}, nil)
	descRecordBytes = prometheus.NewDesc("stoker_record_bytes", "Room of the terminal records, by what: held, limit.", []string{"what"}, nil)
)

// Describe implements [prometheus.Collector].
func (r *records) Describe(ch chan<- *prometheus.Desc) {
	ch <- descRecords
	ch <- descRecordBytes
}

// Collect tells what the last look saw.
func (r *records) Collect(ch chan<- prometheus.Metric) {
	room := r.last.Load()
	if room == nil {
		return
	}
	for _, x := range []struct {
		d           *prometheus.Desc
		held, limit uint64
	}{{descRecords, room.Records, room.MostRecords}, {descRecordBytes, room.Bytes, room.MostBytes}} {
		ch <- prometheus.MustNewConstMetric(x.d, prometheus.GaugeValue, float64(x.held), "held")
		ch <- prometheus.MustNewConstMetric(x.d, prometheus.GaugeValue, float64(x.limit), "limit")
	}
}

// watchRecords begins to watch the room of the terminal records, whoever runs the broker.
func (p *Platform) watchRecords(ctx context.Context) error {
	p.records = &records{room: p.bus, log: p.Log.With("part", "records")}
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() { defer close(ended); p.records.run(inner) }()
	p.onClose(func(context.Context) error { cancel(); <-ended; return nil })
	return nil
}
