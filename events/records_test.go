package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
)

func record(id, source string) Record {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	return Record{
		ID: id, Source: source, Function: tiny, Class: functions.Standard, Status: StatusOK, Attempt: 2, Revision: "3f9a1c02de",
		Replica: "r-1", Published: at, Started: at.Add(time.Second), Ended: at.Add(2 * time.Second),
		ContentType: "application/json", Body: []byte(`{"text":"hi"}`),
	}
}

// TestCodeOfARefusalIsTheModelServers where the caller made the mistake.
func TestCodeOfARefusalIsTheModelServers(t *testing.T) {
	for _, c := range []struct {
		cause         string
		backend, want int
	}{
		{CauseBadRequest, 0, 400}, {CauseBadRequest, 422, 422}, {CauseBadRequest, 302, 400}, {CauseBackend, 401, 502}, {CauseBackend, 500, 502},
	} {
		r := record("1", "s")
		r.Status, r.Cause, r.Backend = StatusError, c.cause, c.backend
		back, err := parseRecord(ReplyHeader(r), nil)
		if err != nil || back.Code() != c.want || back.Backend != c.backend {
			t.Errorf("%+v: %d, %v", c, back.Code(), err)
		}
	}
}

// same compares what a reader can see.
func same(a, b Record) bool {
	a.key, b.key = "", ""
	return reflect.DeepEqual(a, b)
}

func TestRecordIsReadableByID(t *testing.T) {
	b := newBus(t)
	for _, id := range []string{"1", "order 7/€", "a.b.c", strings.Repeat("long", 100)} {
		want := record(id, "/shop €")
		if _, err := b.WriteRecord(t.Context(), want, time.Hour); err != nil {
			t.Fatal(err)
		}
		got, err := b.GetRecord(t.Context(), tiny, id, "")
		if err != nil || !same(got, want) {
			t.Errorf("read\n%+v, %v, wrote\n%+v", got, err, want)
		}
		if got, err := b.GetRecord(t.Context(), tiny, IDToken(id), ""); err != nil || !same(got, want) {
			t.Errorf("by its token: %+v, %v", got, err)
		}
	}
	if _, err := b.GetRecord(t.Context(), tiny, "other", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

// TestRecordIsReadableByStockTools reads the stream as the nats CLI does: the payload is
// the answer, the headers tell the rest.
func TestRecordIsReadableByStockTools(t *testing.T) {
	b := newBus(t)
	failed := record("2", "s")
	failed.Status, failed.Cause, failed.Message, failed.Body, failed.ContentType = StatusError, CauseBackend, "model\nsaid no", nil, ""
	for _, r := range []Record{record("1", "s"), failed} {
		if _, err := b.WriteRecord(t.Context(), r, 0); err != nil {
			t.Fatal(err)
		}
	}
	s, err := b.js.Stream(t.Context(), StreamResults)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(t.Context(), "stoker.result.default.tinylm.1")
	if err != nil || string(m.Data) != `{"text":"hi"}` || m.Header.Get("Stoker-Status") != "ok" || m.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%+v, %v", m, err)
	}
	if ttl := m.Header.Get(jetstream.MsgTTLHeader); ttl != "1h0m0s" && ttl != "3600" {
		t.Errorf("time to live %q", ttl)
	}
	m, err = s.GetLastMsgForSubject(t.Context(), "stoker.result.default.tinylm.2")
	if err != nil {
		t.Fatal(err)
	}
	var body struct {
		Error struct {
			Code           int
			Cause, Message string
		}
	}
	if err := json.Unmarshal(m.Data, &body); err != nil || body.Error.Code != 502 || body.Error.Cause != CauseBackend || body.Error.Message != "model\nsaid no" {
		t.Errorf("%s, %v", m.Data, err)
	}
	if m.Header.Get("Stoker-Message") != "model%0Asaid%20no" {
		t.Errorf("%v", m.Header)
	}
}

// TestRecordIsCreatedOnce lets many writers race for one request's record.
func TestRecordIsCreatedOnce(t *testing.T) {
	b := newBus(t)
	var group sync.WaitGroup
	var mu sync.Mutex
	written := map[string]int{}
	for i := range 20 {
		group.Go(func() {
			r := record("1", "s")
			r.Replica = fmt.Sprint("r-", i)
			got, err := b.WriteRecord(t.Context(), r, time.Hour)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				written["new"]++
			case errors.Is(err, ErrRecordExists):
				written["exists"]++
			default:
				t.Error(err)
			}
			written[got.Replica]++
		})
	}
	group.Wait()
	kept, err := b.GetRecord(t.Context(), tiny, "1", "s")
	if err != nil || written["new"] != 1 || written["exists"] != 19 || written[kept.Replica] != 20 {
		t.Errorf("%v, kept %s, %v", written, kept.Replica, err)
	}
}

func TestSameIDOfOtherSourceGetsASuffix(t *testing.T) {
	b := newBus(t)
	ctx := t.Context()
	first := record("1", "a")
	if _, err := b.WriteRecord(ctx, first, 0); err != nil {
		t.Fatal(err)
	}
	second := record("1", "b")
	second.Body = []byte("second")
	kept, err := b.WriteRecord(ctx, second, 0)
	if err != nil || kept.ID != "1~"+SourceSuffix("b") {
		t.Fatalf("%+v, %v", kept, err)
	}
	if again, err := b.WriteRecord(ctx, second, 0); !errors.Is(err, ErrRecordExists) || again.ID != kept.ID || string(again.Body) != "second" {
		t.Errorf("%+v, %v", again, err)
	}
	for source, want := range map[string]string{"": `{"text":"hi"}`, "a": `{"text":"hi"}`, "b": "second"} {
		if got, err := b.GetRecord(ctx, tiny, "1", source); err != nil || string(got.Body) != want {
			t.Errorf("source %q: %+v, %v", source, got, err)
		}
	}
	if got, err := b.GetRecord(ctx, tiny, kept.ID, ""); err != nil || string(got.Body) != "second" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := b.GetRecord(ctx, tiny, "1", "c"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

// TestRecordsOfRedrivesAndLookalikesStayApart: an id may look like what we make of others.
func TestRecordsOfRedrivesAndLookalikesStayApart(t *testing.T) {
	b := newBus(t)
	redriven := record(RecordID("1", 1), "s")
	redriven.Redrive = 1
	hashed := record("a b", "s")
	for _, r := range []Record{
		record("1", "s"), redriven, record("1~r1", "s"), record("1", "b"), record("1~"+SourceSuffix("b"), "b"),
		hashed, record(IDToken("a b"), "s"),
	} {
		if kept, err := b.WriteRecord(t.Context(), r, 0); err != nil {
			t.Errorf("%s of %s, redrive %d: %v (found %s)", r.ID, r.Source, r.Redrive, err, kept.ID)
		}
	}
}

func TestFullRecordsHoldTheWriterBack(t *testing.T) {
	b := newBus(t)
	if err := b.Ensure(t.Context(), StreamOptions{Records: 2}); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if _, err := b.WriteRecord(t.Context(), record(fmt.Sprint(i), "s"), 0); err != nil {
			t.Fatal(err)
		}
	}
	third := record("2", "s")
	if back, err := b.WriteRecord(t.Context(), third, 0); !errors.Is(err, ErrResultsFull) || !same(back, third) {
		t.Errorf("got %+v, %v, want ErrResultsFull and the record, to try again", back, err)
	}
	// A request that has its record already is still told so.
	if _, err := b.WriteRecord(t.Context(), record("1", "s"), 0); !errors.Is(err, ErrRecordExists) {
		t.Errorf("got %v", err)
	}
	// A smaller limit takes nothing away that was promised.
	if err := b.Ensure(t.Context(), StreamOptions{Records: 1}); err != nil {
		t.Fatal(err)
	}
	if room, err := b.RecordRoom(t.Context()); err != nil || room.Records != 2 || room.MostRecords != 1 || room.Share() != 2 {
		t.Errorf("%+v, share %v, %v", room, room.Share(), err)
	}
	if _, err := b.GetRecord(t.Context(), tiny, "0", ""); err != nil {
		t.Errorf("the first record: %v", err)
	}
}

func TestRecordEndsWithItsRetention(t *testing.T) {
	b := newBus(t)
	if _, err := b.WriteRecord(t.Context(), record("1", "s"), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if _, err := b.GetRecord(t.Context(), tiny, "1", ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, "record ends", func() bool {
		_, err := b.GetRecord(t.Context(), tiny, "1", "")
		return errors.Is(err, ErrNotFound)
	})
}

func TestRetentionIsRoundedUpToSeconds(t *testing.T) {
	for in, want := range map[time.Duration]time.Duration{
		0: DefaultRetention, -1: DefaultRetention, 1: time.Second, time.Second: time.Second, 1500 * time.Millisecond: 2 * time.Second, time.Hour: time.Hour,
	} {
		if got := ttl(in); got != want {
			t.Errorf("ttl(%v) = %v, want %v", in, got, want)
		}
	}
}

func TestAnswerTooLargeForARecordStillGetsOne(t *testing.T) {
	b := newBus(t)
	r := record("1", "s")
	r.Body = make([]byte, b.nc.MaxPayload()+1)
	if _, err := b.WriteRecord(t.Context(), r, 0); err != nil {
		t.Fatal(err)
	}
	got, err := b.GetRecord(t.Context(), tiny, "1", "")
	if err != nil || got.Status != StatusOK || len(got.Body) != 0 || !strings.Contains(got.Message, "above the broker's limit") {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWaitForARecord(t *testing.T) {
	b := newBus(t)
	got := make(chan Record, 2)
	wait := func(source string) {
		r, err := b.WatchRecord(t.Context(), tiny, "1", source)
		if err != nil {
			t.Error(err)
		}
		got <- r
	}
	go wait("b")
	eventually(t, "watcher is there", func() bool {
		s, err := b.js.Stream(t.Context(), StreamResults)
		return err == nil && s.CachedInfo().State.Consumers == 1
	})
	for _, source := range []string{"a", "b"} {
		if _, err := b.WriteRecord(t.Context(), record("1", source), 0); err != nil {
			t.Fatal(err)
		}
	}
	if r := next(t, got); r.Source != "b" {
		t.Errorf("%+v", r)
	}
	go wait("a") // the record is there already
	if r := next(t, got); r.Source != "a" {
		t.Errorf("%+v", r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.WatchRecord(ctx, tiny, "never", ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestRecordHeadersAreUndone(t *testing.T) {
	text := rapid.String()
	rapid.Check(t, func(t *rapid.T) {
		want := record(rapid.StringN(1, 50, -1).Draw(t, "id"), text.Draw(t, "source"))
		want.Status = rapid.SampledFrom([]Status{StatusOK, StatusError, StatusExpired, StatusShed}).Draw(t, "status")
		want.Cause, want.Message = text.Draw(t, "cause"), text.Draw(t, "message")
		want.Redrive, want.RetryAfter = rapid.IntRange(0, 9).Draw(t, "redrive"), rapid.IntRange(0, 99).Draw(t, "retry")
		for name, v := range want.header() {
			if strings.ContainsAny(v[0], "\r\n") {
				t.Fatalf("%s: %q", name, v)
			}
		}
		got, err := parseRecord(want.header(), want.payload())
		if err != nil || !same(got, want) {
			t.Fatalf("%+v\n%+v %v", got, want, err)
		}
	})
}

func BenchmarkWriteRecord(b *testing.B) {
	bus := newBus(b)
	r := record("", "s")
	i := 0
	for b.Loop() {
		i++
		r.ID = fmt.Sprint(i)
		if _, err := bus.WriteRecord(b.Context(), r, time.Hour); err != nil {
			b.Fatal(err)
		}
	}
}

func TestWatchersLeaveNothingBehind(t *testing.T) {
	b := newBus(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var watching sync.WaitGroup
	for i := range 20 {
		watching.Go(func() {
			if _, err := b.WatchRecord(ctx, tiny, fmt.Sprintf("never-%d", i), ""); err == nil {
				t.Error("a record that was never written was found")
			}
		})
	}
	watching.Wait()
	s, err := b.js.Stream(t.Context(), StreamResults)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Consumers; n != 0 {
		t.Errorf("%d consumers are left of callers who have gone", n)
	}
}

// BenchmarkReplyHeader is what a record and its reply cost before they are sent.
func BenchmarkReplyHeader(b *testing.B) {
	r := record("0c5d9a7e-54fb-4d0e-9a34-2f6d7c1b8e90", "nats")
	r.Status, r.Attempt, r.Revision, r.Replica = StatusOK, 1, "dd46830760", "tinylm-3f9c1e0a57"
	r.Published, r.Started, r.Ended, r.ContentType = time.Now(), time.Now(), time.Now(), "application/json"
	b.ReportAllocs()
	for b.Loop() {
		if h := ReplyHeader(r); len(h) < 10 {
			b.Fatal(h)
		}
	}
}

func BenchmarkParseReply(b *testing.B) {
	r := record("0c5d9a7e-54fb-4d0e-9a34-2f6d7c1b8e90", "nats")
	r.Published, r.Started, r.Ended = time.Now(), time.Now(), time.Now()
	m := &Msg{Header: ReplyHeader(r), Data: []byte("{}")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseReply(m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMsgID(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if MsgID(tiny, "nats", "0c5d9a7e-54fb-4d0e-9a34-2f6d7c1b8e90", 0) == "" {
			b.Fatal("no id")
		}
	}
}
