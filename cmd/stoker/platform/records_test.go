package platform

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/events/eventstest"
	"stoker.dev/stoker/functions"
)

// TestFullRecordsAreTold fills a real stream of terminal records and empties it again.
func TestFullRecordsAreTold(t *testing.T) {
	nc, js, _ := eventstest.Start(t)
	bus, err := events.NewBus(nc, nil)
	if err != nil {
		t.Fatal(err)
	}
	const most = 10
	if err := bus.Ensure(t.Context(), events.StreamOptions{Records: most}); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	r := &records{room: bus, log: slog.New(slog.NewTextHandler(&log, nil))}
	if n := testutil.CollectAndCount(r); n != 0 {
		t.Errorf("%d metrics before anything is known", n)
	}
	look := func(want string) {
		t.Helper()
		log.Reset()
		r.look(t.Context())
		if want == "" && log.Len() > 0 || !strings.Contains(log.String(), want) {
			t.Errorf("%q, want %q", log.String(), want)
		}
	}
	look("")
	key := functions.Key{Namespace: "default", Name: "f"}
	for i := range most {
		rec := events.Record{ID: string(rune('a' + i)), Source: "s", Function: key, Status: events.StatusOK}
		if _, err := bus.WriteRecord(t.Context(), rec, 0); err != nil {
			t.Fatal(err)
		}
		switch i + 1 {
		case 8:
			look("level=WARN")
		case most:
			look("level=ERROR")
		default:
			look("")
		}
	}
	want := "# HELP stoker_records Terminal records, by what: held; limit, at which requests that are done wait.\n" +
		"# TYPE stoker_records gauge\nstoker_records{what=\"held\"} 10\nstoker_records{what=\"limit\"} 10\n"
	if err := testutil.CollectAndCompare(prometheus.Collector(r), strings.NewReader(want), "stoker_records"); err != nil {
		t.Error(err)
	}
	s, err := js.Stream(t.Context(), events.StreamResults)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	look("level=INFO")
}

type unknownRoom struct{}

func (unknownRoom) RecordRoom(context.Context) (events.Room, error) {
	return events.Room{}, errors.New("the broker is away")
}

// TestBeingFullIsToldOnce: with records that end by themselves it comes and goes by the second.
func TestBeingFullIsToldOnce(t *testing.T) {
	level := levelRoom
	for i, step := range []struct {
		share float64
		want  int
	}{
		{0.79, levelRoom}, {0.8, levelNearly}, {0.75, levelNearly}, {1, levelFull}, {0.99, levelFull}, {1, levelFull},
		{0.71, levelFull}, {0.69, levelRoom}, {0.75, levelRoom}, {1, levelFull},
	} {
		if level = fuller(level, step.share); level != step.want {
			t.Errorf("step %d, at %v: level %d, want %d", i, step.share, level, step.want)
		}
	}
	r := &records{room: unknownRoom{}, log: slog.New(slog.DiscardHandler), level: levelFull}
	if r.look(t.Context()); r.level != levelFull || r.last.Load() != nil {
		t.Errorf("level %d of what is not known", r.level)
	}
}
