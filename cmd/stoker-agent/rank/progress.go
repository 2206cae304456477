package rank

import (
	"sync"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/scale/job/contract"
)

// Progress is what is known of a rank. It is safe for concurrent use.
type Progress struct {
	mu   sync.Mutex
	rank events.Rank
}

// NewProgress is what is known of a rank before it has begun.
func NewProgress(c events.RankConfig) *Progress {
	return &Progress{rank: events.Rank{Generation: c.Generation, Rank: c.Rank}}
}

// Said is what is known now.
func (p *Progress) Said() *events.Rank {
	p.mu.Lock()
	defer p.mu.Unlock()
	said := p.rank
	return &said
}

// Started notes when the program was started.
func (p *Progress) Started(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rank.Started = now
}

// Noticed notes when the rank was told to go, the first time.
func (p *Progress) Noticed(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rank.NoticedAt.IsZero() {
		p.rank.NoticedAt = now
	}
}

// Ended notes how the rank ended.
func (p *Progress) Ended(e events.RankEnd) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rank.End = &e
}

// Line takes a line of the progress file that was read now. It tells whether the platform should
// hear of it at once: a checkpoint counts, or the training is done.
func (p *Progress) Line(line []byte, now time.Time) (urgent bool) {
	report, err := contract.ParseReport(string(line))
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.rank.Unread++
		return false
	}
	r := &p.rank
	r.Step, r.ReportedAt = report.Step, now
	switch report.Verb {
	case contract.Saving:
		r.Saving = true
	case contract.Committed:
		r.Saving, r.Saved = false, &events.RankSaved{Path: report.Path, Step: report.Step, At: now}
		return true
	case contract.Progress:
		return p.progress(report)
	}
	return false
}

// progress takes a report of p, which is locked. A loss and a percentage that it does not give are the last ones.
func (p *Progress) progress(report contract.Report) (done bool) {
	r := &p.rank
	if report.Loss != nil || report.Diverged {
		r.Loss, r.Diverged = report.Loss, report.Diverged
	}
	before := r.Percent
	if report.Percent > 0 {
		r.Percent = report.Percent
	}
	r.ETASec = report.ETA.Seconds()
	return r.Percent >= 100 && before < 100
}
