package events

import (
	"errors"
	"slices"
	"testing"
	"time"

	"stoker.dev/stoker/functions"
)

// TestRecordsAreReadInTheOrderTheyWereWritten, without answers, up to those that are there at the beginning.
func TestRecordsAreReadInTheOrderTheyWereWritten(t *testing.T) {
	b := newBus(t)
	other, foreign := functions.Key{Namespace: tiny.Namespace, Name: "other"}, functions.Key{Namespace: "elsewhere", Name: tiny.Name}
	write := func(k functions.Key, id string) {
		r := record(id, "s")
		r.Function = k
		if _, err := b.WriteRecord(t.Context(), r, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	read := func(o RecordFilter, each func(Record)) []string {
		var ids []string
		err := b.ReadRecords(t.Context(), o, func(r Record) error {
			ids = append(ids, r.ID)
			if each != nil {
				each(r)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return ids
	}
	if got := read(RecordFilter{}, nil); len(got) != 0 {
		t.Errorf("of none: %v", got)
	}
	write(tiny, "b")
	write(other, "a")
	write(foreign, "c")
	n := 0
	all := read(RecordFilter{}, func(r Record) {
		if len(r.Body) > 0 || r.Ended.Sub(r.Started) != time.Second || r.Published.IsZero() {
			t.Errorf("%+v", r)
		}
		n++
		write(tiny, "while reading "+string(rune('0'+n)))
	})
	if !slices.Equal(all, []string{"b", "a", "c"}) {
		t.Errorf("all: %v", all)
	}
	for name, c := range map[string]struct {
		o    RecordFilter
		want int
	}{
		"a function":      {RecordFilter{Function: tiny}, 4},
		"a namespace":     {RecordFilter{Function: functions.Key{Namespace: tiny.Namespace}}, 5},
		"another one":     {RecordFilter{Function: functions.Key{Namespace: "nobody"}}, 0},
		"of the last day": {RecordFilter{Since: time.Now().Add(-24 * time.Hour)}, 6},
		"of the future":   {RecordFilter{Since: time.Now().Add(time.Hour)}, 0},
	} {
		if got := read(c.o, nil); len(got) != c.want {
			t.Errorf("%s: %v, want %d", name, got, c.want)
		}
	}
	stop := errors.New("enough")
	if err := b.ReadRecords(t.Context(), RecordFilter{}, func(Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v, want what the reader said", err)
	}
}

// TestReadingRecordsOutlivesTheirEnd: what reaches the end of its retention while it is waited for is not waited for
// for ever.
func TestReadingRecordsOutlivesTheirEnd(t *testing.T) {
	b := newBus(t)
	for _, id := range []string{"1", "2"} {
		if _, err := b.WriteRecord(t.Context(), record(id, "s"), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	s, err := b.js.Stream(t.Context(), StreamResults)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.OrderedConsumer(t.Context(), RecordFilter{}.config())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	it, err := c.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer it.Stop()
	more, err := nextRecord(t.Context(), c, it, 2, func(Record) error { return nil })
	if more || err != nil {
		t.Errorf("%t, %v, want the end", more, err)
	}
}
