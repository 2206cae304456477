package gateway

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"stoker.dev/stoker/cmd/stoker/access"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// trace is GET /api/v1/trace: the requests that were recorded, as `stoker simulate` reads them. Records are in the order
// in which requests ended and a trace is in that of arrival, so it is held before it is written: some 24 bytes for a
// request, and one trace at a time.
func (g *Gateway) trace(w http.ResponseWriter, r *http.Request) {
	f, refused := g.traceFilter(r)
	if refused != nil {
		writeRefusal(w, refused)
		return
	}
	who := principal(r.Context())
	if f.Function.Namespace != "" && deny(w, who.Check(access.Look, f.Function.Namespace)) || deny(w, somewhere(who, access.Look)) {
		return
	}
	if !g.tracing.TryLock() {
		writeRefusal(w, refuse(http.StatusServiceUnavailable, causeBusy, "another trace is being read", "").after(retrySoon))
		return
	}
	defer g.tracing.Unlock()
	t := recorded{names: map[functions.Key]int32{}, skipped: map[events.Status]int{}}
	err := g.Bus.ReadRecords(r.Context(), f, func(rec events.Record) error {
		if who.May(access.Look, rec.Function.Namespace) && !rec.Published.Before(f.Since) {
			t.take(rec)
		}
		return nil
	})
	if err == nil {
		err = t.header(w.Header())
	}
	if err != nil {
		g.write(w, r, nil, err)
		return
	}
	w.WriteHeader(http.StatusOK)
	g.abort(r, t.write(w))
}

// traceFilter is what was asked for. A record is written after its request arrived, so those written since a moment
// hold all that arrived since.
func (g *Gateway) traceFilter(r *http.Request) (f events.RecordFilter, refused *refusal) {
	q := r.URL.Query()
	f.Function = functions.Key{Namespace: q.Get("namespace"), Name: q.Get("function")}
	for what, name := range map[string]string{"?namespace": f.Function.Namespace, "?function": f.Function.Name} {
		if name != "" && !functions.ValidName(name) {
			return f, badRequest(what, name, "a DNS-1123 label")
		}
	}
	if since := q.Get("since"); since != "" {
		at, err := api.ParseSince(since, g.Now())
		if err != nil {
			return f, refuse(http.StatusBadRequest, events.CauseBadRequest, err.Error(), "")
		}
		f.Since = at
	}
	return f, nil
}

// recorded are requests as a trace has them.
type recorded struct {
	rows    []recordedRow
	names   map[functions.Key]int32
	keys    []functions.Key // by the number in names
	skipped map[events.Status]int
}

type recordedRow struct {
	arrived  int64         // Unix nanoseconds
	took     time.Duration // in a slot
	function int32
}

// take keeps a request that ran to its end. What was shed or expired has no service time that somebody knows, nor has
// what failed before an agent had it.
func (t *recorded) take(rec events.Record) {
	ended := rec.Status == events.StatusOK || rec.Status == events.StatusError && rec.Cause != events.CauseCancelled
	if !ended || rec.Published.IsZero() || rec.Started.IsZero() {
		t.skipped[rec.Status]++
		return
	}
	n, known := t.names[rec.Function]
	if !known {
		n = int32(len(t.keys))
		t.names[rec.Function], t.keys = n, append(t.keys, rec.Function)
	}
	t.rows = append(t.rows, recordedRow{rec.Published.UnixNano(), max(0, rec.Ended.Sub(rec.Started)), n})
}

// header sorts the requests, and says what there is.
func (t *recorded) header(h http.Header) error {
	slices.SortStableFunc(t.rows, func(a, b recordedRow) int { return cmp.Compare(a.arrived, b.arrived) })
	s := api.TraceSummary{Requests: len(t.rows), Functions: len(t.keys), Skipped: t.skipped}
	if n := len(t.rows); n > 0 {
		s.First, s.Last = time.Unix(0, t.rows[0].arrived).UTC(), time.Unix(0, t.rows[n-1].arrived).UTC()
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	set(h, api.HeaderTrace, string(data))
	set(h, "Content-Type", "text/csv; charset=utf-8")
	set(h, "Cache-Control", "no-store")
	return nil
}

// write tells times in microseconds, arrivals from the first one on.
func (t *recorded) write(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, "arrival_s,model,exec_s")
	for _, r := range t.rows {
		fmt.Fprintf(b, "%s,%s,%s\n", inSeconds(time.Duration(r.arrived-t.rows[0].arrived)), t.keys[r.function], inSeconds(r.took))
	}
	return b.Flush()
}

func inSeconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Microseconds())/1e6, 'f', -1, 64)
}
