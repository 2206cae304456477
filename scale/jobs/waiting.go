package jobs

import (
	"cmp"
	"slices"
	"time"
)

// Waiting says why a job waits, and for how long it may.
type Waiting struct {
	Index    int    `json:"index"` // of the job in the snapshot
	Job      string `json:"job"`   // its ID
	Position int    `json:"position"`
	Block    Block  `json:"block"`
	Lacks    int    `json:"lacks"` // GPUs that it needs beside those that are free for it
	// Holders are the IDs of jobs that hold what it lacks, those first that are expected to end
	// first; at most MaxHolders.
	Holders []string `json:"holders,omitempty"`
	// Start is when it is expected to be admitted, by how long jobs like those ahead of it have
	// run; zero: nobody knows.
	Start time.Time `json:"start,omitzero"`
}

const (
	// MaxHolders is how many of those who hold what a job waits for are named.
	MaxHolders = 8
	// KnownJobs is how many jobs of a user, of one size, must have ended before their run times say
	// something about the next one.
	KnownJobs = 5
)

// Block is what a job waits for; a closed set that [Blocks] lists.
type Block string

// What jobs wait for.
const (
	BlockNever    Block = "never"
	BlockLeaving  Block = "leaving"
	BlockQuota    Block = "quota"
	BlockGPUs     Block = "gpus"
	BlockNodes    Block = "nodes"
	BlockReserved Block = "reserved"
	BlockLoan     Block = "loan"
)

// blocks is the closed set, with a sentence for people.
var blocks = []struct {
	Block   Block
	Meaning string
}{
	{BlockNever, "its gang is larger than all its queue or the fleet can give, or its queue does not exist"},
	{BlockLeaving, "jobs are leaving their GPUs to it"},
	{BlockQuota, "its queue holds as much as it may"},
	{BlockGPUs, "GPUs are held by jobs that are not behind it, or cannot be preempted yet"},
	{BlockNodes, "enough GPUs are free, and not as its gang needs them: of one product, so many on each node"},
	{BlockReserved, "a job that has waited for as long as a job may gets its GPUs first"},
	{BlockLoan, "it runs on borrowed GPUs only, and none are lent for long enough"},
}

// Blocks lists what jobs wait for. The caller owns the slice.
func Blocks() []Block {
	out := make([]Block, 0, len(blocks))
	for _, b := range blocks {
		out = append(out, b.Block)
	}
	return out
}

// Meaning is one sentence for people; empty for what is outside the set.
func (b Block) Meaning() string {
	for _, m := range blocks {
		if m.Block == b {
			return m.Meaning
		}
	}
	return ""
}

// lacks is what keeps a job out that nobody makes room for.
func (t *turn) lacks(o *standing) Block {
	j := &t.s.Jobs[o.index]
	gpus := j.least() * j.per()
	switch {
	case t.soon.quota != nil && gpus > t.soon.quota[o.queue]:
		return BlockQuota
	case gpus > t.soon.own:
		return BlockGPUs
	}
	return BlockNodes
}

// release is GPUs that are expected to come free.
type release struct {
	at    time.Time
	gpus  int
	index int // of the job that holds them
}

// explain completes what is said of the jobs that wait. Estimates take the jobs in their order and
// count GPUs alone, so a job that fits in between may start earlier, and one that needs its GPUs
// together later.
func (t *turn) explain() []Waiting {
	known, unknown := t.releases()
	free := max(0, t.s.free())
	at := t.s.Now
	for i := range t.wait {
		w := &t.wait[i]
		j := &t.s.Jobs[w.Index]
		need := j.least() * j.per()
		w.Lacks = max(0, need-max(0, t.s.free()))
		w.Holders = t.holders(w, known, unknown)
		if w.Block == BlockNever || w.Block == BlockLoan || w.Block == BlockQuota || w.Block == BlockNodes {
			continue // not a matter of how many GPUs come free
		}
		for len(known) > 0 && free < need {
			free, at, known = free+known[0].gpus, latest(at, known[0].at), known[1:]
		}
		if free < need {
			return t.endExplaining(i+1, known, unknown)
		}
		w.Start = at
		free -= need
		if rest, ok := t.expected(w.Index); ok {
			known = insert(known, release{at.Add(rest), need, w.Index})
		}
	}
	return t.wait
}

// endExplaining names holders where no estimate can be given any more.
func (t *turn) endExplaining(from int, known, unknown []release) []Waiting {
	for i := from; i < len(t.wait); i++ {
		w := &t.wait[i]
		j := &t.s.Jobs[w.Index]
		w.Lacks = max(0, j.least()*j.per()-max(0, t.s.free()))
		w.Holders = t.holders(w, known, unknown)
	}
	return t.wait
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func insert(list []release, r release) []release {
	at, _ := slices.BinarySearchFunc(list, r, func(a, b release) int { return a.at.Compare(b.at) })
	return slices.Insert(list, at, r)
}

// releases are the GPUs of running jobs by when they are expected to come free, and those of which
// nobody knows.
func (t *turn) releases() (known, unknown []release) {
	for i := range t.s.Jobs {
		j := &t.s.Jobs[i]
		if !j.Running() || j.GPUs == j.Lent {
			continue
		}
		r := release{index: i, gpus: j.GPUs - j.Lent}
		rest, ok := t.expected(i)
		if j.Leaving || t.gone[i] {
			rest, ok = j.Drain, true
		}
		if !ok {
			unknown = append(unknown, r)
			continue
		}
		r.at = t.s.Now.Add(rest)
		known = append(known, r)
	}
	slices.SortStableFunc(known, func(a, b release) int { return a.at.Compare(b.at) })
	slices.SortStableFunc(unknown, func(a, b release) int { return cmp.Compare(b.gpus, a.gpus) })
	return known, unknown
}

// expected is how long a job will still run, if enough like it have ended.
func (t *turn) expected(i int) (time.Duration, bool) {
	j := &t.s.Jobs[i]
	if !t.h.knows(j) {
		return 0, false
	}
	return time.Duration(t.h.table(j).rest(j.Service(t.s.Now)) * float64(time.Second)), true
}

// holders names those who hold what a job lacks.
func (t *turn) holders(w *Waiting, known, unknown []release) (out []string) {
	j := &t.s.Jobs[w.Index]
	left := w.Lacks
	for _, r := range slices.Concat(known, unknown) {
		h := &t.s.Jobs[r.index]
		if left <= 0 || len(out) == MaxHolders {
			break
		}
		if w.Block == BlockQuota && h.Queue != j.Queue || !h.Running() {
			continue
		}
		out, left = append(out, h.ID), left-r.gpus
	}
	return out
}
