package history

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Violation is one broken promise.
type Violation struct {
	Kind     Broken
	Subjects []string // request ids, replica IDs or devices it is about
	Says     string
	Evidence []Record
}

// String is the violation on one line, its evidence on lines of their own.
func (v Violation) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s (%s): %s", v.Kind, strings.Join(v.Subjects, ", "), v.Says)
	for _, r := range v.Evidence {
		if line, err := r.Line(); err == nil {
			fmt.Fprintf(&out, "\n\t%s", strings.TrimSuffix(string(line), "\n"))
		}
	}
	return out.String()
}

// Broken names what was broken.
type Broken string

// Everything a history can contradict.
const (
	Lost          Broken = "lost"            // accepted, or answered, and no terminal record
	Twice         Broken = "twice"           // more than one terminal record
	RecordGone    Broken = "record-gone"     // a terminal record was removed or replaced
	Late          Broken = "late"            // the record came later than the deadline and [Bounds.Late]
	Unsent        Broken = "unsent"          // an answer, a record or a run of what nobody sent
	Contradicted  Broken = "contradicted"    // the answer is not the record's, or belongs to another request
	Unrun         Broken = "unrun"           // a record says ok, and its replica never ran the request to its end
	RefusedButRun Broken = "refused-but-run" // every try was refused, and there is a record or a run
	GPUShared     Broken = "gpu-shared"      // two replicas had one GPU at one moment
	LeaseEarly    Broken = "lease-early"     // a process ran while its replica held no lease
	BooksDiffer   Broken = "books-differ"    // provider, ledger and what really ran tell different stories
	Restarted     Broken = "restarted"       // a replica ended that nobody killed and nobody asked to go
	Leftover      Broken = "leftover"        // a process, a lease or a consumer at the end
	Incomplete    Broken = "incomplete"      // the history itself ends in the middle
)

// Bounds are what the platform is held to beyond its promises' words.
type Bounds struct {
	// Late is how long after its deadline a request may have its record. Time in which the platform was down, or the
	// agents of the request's function were stopped, does not count.
	Late time.Duration
}

// Check returns every violation, ordered by kind and subject.
func Check(records []Record, b Bounds) []Violation {
	h := index(records)
	var found []Violation
	found = append(found, h.requests(b)...)
	found = append(found, h.unsent()...)
	found = append(found, h.recordsGone()...)
	found = append(found, h.gpus()...)
	found = append(found, h.leases()...)
	found = append(found, h.books()...)
	found = append(found, h.ends()...)
	found = append(found, h.leftovers()...)
	slices.SortStableFunc(found, func(a, b Violation) int {
		return strings.Compare(string(a.Kind)+" "+strings.Join(a.Subjects, " "), string(b.Kind)+" "+strings.Join(b.Subjects, " "))
	})
	return found
}

// recordsGone is beside [Twice], which takes somebody who saw both records.
func (h *history) recordsGone() []Violation {
	var out []Violation
	for _, r := range h.gone {
		out = append(out, Violation{RecordGone, []string{r.ID}, r.What + " was written, and removed or replaced", []Record{r}})
	}
	return out
}

func (h *history) leftovers() []Violation {
	var out []Violation
	for _, r := range h.left {
		out = append(out, Violation{Leftover, []string{r.ID}, "a " + r.What + " is there at the end", []Record{r}})
	}
	if !h.complete {
		out = append(out, Violation{Incomplete, nil, "the history has no last record: what is missing in it is not known", nil})
	}
	return out
}
