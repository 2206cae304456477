package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Summary counts what a history holds: it says how much a check has seen.
type Summary struct {
	Span      time.Duration
	Requests  map[string]int // by class
	Tries     int            // publishes, repeated ones counted each
	Acked     int            // requests with an acknowledgement
	Unknown   int            // requests with neither acknowledgement nor refusal nor answer
	Refused   int            // requests of which every try was refused
	Answers   map[string]int // by status
	Records   map[string]int // by status
	Causes    map[string]int // of records that are not ok
	Runs      int            // begun by model servers
	RunAgain  int            // requests that were begun more than once
	Replicas  map[string]int // by how they ended
	Processes int            // that the witness saw
	Looks     int            // at the ledger
	Faults    map[string]int // by "<what> <program>"
	Latest    time.Duration  // the longest time from a deadline to its record, less what is excused; 0: none was late
}

// Summarise counts a history.
func Summarise(records []Record) Summary {
	h := index(records)
	s := Summary{
		Requests: map[string]int{}, Answers: map[string]int{}, Records: map[string]int{}, Causes: map[string]int{},
		Replicas: map[string]int{}, Faults: map[string]int{}, Looks: len(h.looks),
	}
	var first, last time.Time
	for _, r := range records {
		if first.IsZero() || r.At.Before(first) {
			first = r.At
		}
		last = later(last, r.At)
		if r.Kind == Fault {
			s.Faults[r.What+" "+r.Program]++
		}
	}
	s.Span = last.Sub(first)
	for _, q := range h.request {
		s.count(h, q)
	}
	for _, p := range h.replica {
		s.Processes += len(p.process)
		for _, r := range p.provider {
			s.Replicas[r.Cause]++
		}
	}
	return s
}

func (s *Summary) count(h *history, q *request) {
	if len(q.sent) > 0 {
		s.Requests[q.sent[0].Class]++
	}
	s.Tries += len(q.sent)
	kinds := map[Kind]bool{}
	for _, r := range q.outcome {
		kinds[r.Kind] = true
	}
	switch {
	case kinds[Acked]:
		s.Acked++
	case len(q.answered) > 0:
	case kinds[Unknown]:
		s.Unknown++
	case kinds[Refused]:
		s.Refused++
	}
	for _, r := range q.answered {
		s.Answers[r.Status]++
	}
	for _, r := range q.stored {
		s.Records[r.Status]++
		if r.Status != statusOK {
			s.Causes[r.Cause]++
		}
	}
	s.Runs += len(q.began)
	if len(q.began) > 1 {
		s.RunAgain++
	}
	s.Latest = max(s.Latest, h.lateness(q))
}

// String is the summary for people.
func (s Summary) String() string {
	return fmt.Sprintf(`%s of history
requests  %s in %d tries; %d acknowledged, %d unknown, %d refused
answers   %s
records   %s; causes: %s
runs      %d; %d requests were run more than once
replicas  %s; %d processes seen, %d looks at the ledger
faults    %s
latest    %s after its deadline`,
		s.Span.Round(time.Second), counts(s.Requests), s.Tries, s.Acked, s.Unknown, s.Refused, counts(s.Answers),
		counts(s.Records), counts(s.Causes), s.Runs, s.RunAgain, counts(s.Replicas), s.Processes, s.Looks, counts(s.Faults),
		s.Latest.Round(time.Millisecond))
}

func counts(m map[string]int) string {
	if len(m) == 0 {
		return "none"
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%d %s", m[k], k))
	}
	return strings.Join(out, ", ")
}
