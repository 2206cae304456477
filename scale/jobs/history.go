package jobs

import (
	"cmp"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// MaxClasses bounds how many classes of jobs are remembered, all users, sizes and names together; those that
	// no job was of for the longest time are forgotten. Stored, classes of a job each are half a megabyte; of
	// many jobs a class is up to three times as large (see [History.Forget]).
	MaxClasses = 1500
	// maxRecent bounds the jobs that wait to be among the classes.
	maxRecent = 1000
)

// PriorWeight is how many jobs of the wider class each narrower one begins with: after as many
// jobs of its own, half of what is believed of a user is the user's.
const PriorWeight = 10

// Run times are told apart by bins, two to a doubling: the first is up to shortest, and the last
// begins at 16 years.
const (
	shortest = 30 * time.Second
	bins     = 50
)

// refresh is the share of new jobs at which what is believed is computed anew: less would change
// nothing that matters.
const refresh = 0.02

// History is what was learned of jobs that ended. It is plain data: decoded from its JSON it
// gives the same plans. The zero value knows nothing and is ready.
type History struct {
	Classes map[string]*Class `json:"classes,omitempty"`
	Recent  []Lesson          `json:"recent,omitempty"` // not yet among the classes
	Taken   uint64            `json:"taken,omitempty"`  // jobs that are
	tables  map[kind]*table   // follow from the classes
}

// Class is the run times of jobs that have something in common.
type Class struct {
	Jobs    float64       `json:"jobs"`
	Count   [bins]float64 `json:"count"`
	Seconds [bins]float64 `json:"seconds"` // summed
	Last    uint64        `json:"last"`    // Taken when a job of it was
}

// Lesson is one job that ended.
type Lesson struct {
	User    string  `json:"user,omitempty"`
	Name    string  `json:"name,omitempty"`
	GPUs    int     `json:"gpus"`
	Seconds float64 `json:"seconds"` // it ran, without what preemptions cost
}

// kind is what jobs of one table have in common.
type kind struct {
	user, name string
	gpus       int
}

// classes are those of a kind, from the widest to the narrowest.
func (k kind) classes() [4]string {
	gang := strconv.Itoa(k.gpus)
	user := gang + "/" + strconv.Quote(k.user)
	return [4]string{"all", gang, user, user + "/" + strconv.Quote(k.name)}
}

// Learn takes a job that has ended, as it was when it ended.
func (h *History) Learn(j Job, now time.Time) {
	h.Recent = append(h.Recent, Lesson{User: j.User, Name: j.Name, GPUs: j.GPUs, Seconds: j.Work(now).Seconds()})
	known := 0.0
	if all := h.Classes["all"]; all != nil {
		known = all.Jobs
	}
	if float64(len(h.Recent)) <= min(known*refresh, maxRecent) {
		return
	}
	for _, l := range h.Recent {
		h.take(l)
	}
	h.Recent = nil
	h.keep(MaxClasses)
}

// Forget drops a tenth of the classes, for who has no room for all; false: there is none.
func (h *History) Forget() bool {
	n := len(h.Classes)
	h.keep(n - 1 - n/10)
	return n > 0
}

// keep drops the classes beyond so many. The class of all jobs and those of sizes that are in use come last,
// since each job was one of theirs; of one job's the narrowest go first.
func (h *History) keep(most int) {
	h.tables = nil
	over := len(h.Classes) - max(0, most)
	if over <= 0 {
		return
	}
	names := slices.SortedFunc(maps.Keys(h.Classes), func(a, b string) int {
		return cmp.Or(cmp.Compare(h.Classes[a].Last, h.Classes[b].Last), strings.Compare(b, a))
	})
	for _, name := range names[:over] {
		delete(h.Classes, name)
	}
}

func (h *History) take(l Lesson) {
	if h.Classes == nil {
		h.Classes = map[string]*Class{}
	}
	h.Taken++
	bin := binOf(time.Duration(l.Seconds * float64(time.Second)))
	for _, name := range (kind{l.User, l.Name, l.GPUs}).classes() {
		c := h.Classes[name]
		if c == nil {
			c = &Class{}
			h.Classes[name] = c
		}
		c.Jobs++
		c.Last = h.Taken
		c.Count[bin]++
		c.Seconds[bin] += l.Seconds
	}
}

// table is what is believed of a job.
func (h *History) table(j *Job) *table {
	k := kind{j.User, j.Name, j.GPUs}
	t := h.tables[k]
	if t == nil {
		if h.tables == nil {
			h.tables = map[kind]*table{}
		}
		t = newTable(h.belief(k), k.gpus)
		h.tables[k] = t
	}
	return t
}

// knows tells whether enough jobs of a job's user and size have ended to say how long it will run.
func (h *History) knows(j *Job) bool {
	c := h.Classes[kind{j.User, j.Name, j.GPUs}.classes()[2]]
	return c != nil && c.Jobs >= KnownJobs
}

// belief is how likely run times are, and the mean of each bin: a class's own jobs and those it
// begins with. With no history at all every bin is as likely.
func (h *History) belief(k kind) (b belief) {
	for i := range bins {
		b.weight[i] = 1.0 / bins
		b.mean[i] = (bottom(i) + bottom(i+1)) / 2
	}
	for _, name := range k.classes() {
		c := h.Classes[name]
		if c == nil {
			continue
		}
		for i := range bins {
			b.weight[i] = (c.Count[i] + PriorWeight*b.weight[i]) / (c.Jobs + PriorWeight)
			if c.Count[i] > 0 {
				b.mean[i] = c.Seconds[i] / c.Count[i]
			}
		}
	}
	return b
}

// binOf is the bin of a run time.
func binOf(d time.Duration) int {
	n := uint64(max(0, d) / (shortest / 2)) // half the shortest: its two highest bits tell the bin
	if n < 2 {
		return 0
	}
	high := bits.Len64(n) - 1
	return min(bins-1, 2*(high-1)+int(n>>(high-1)&1)+1)
}

// bottom is where a bin begins, seconds.
func bottom(bin int) float64 {
	if bin == 0 {
		return 0
	}
	s := shortest.Seconds() * float64(uint64(1)<<((bin-1)/2))
	if bin%2 == 0 {
		s *= 1.5
	}
	return s
}
