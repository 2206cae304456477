package simulate

import (
	"fmt"
	"math"
	"time"
)

// Constants of the hybrid histogram as published.
const (
	hybridBin    = time.Minute
	hybridBins   = 240 // 4 h
	hybridRange  = hybridBins * hybridBin
	hybridHead   = 0.05
	hybridTail   = 0.99
	hybridMargin = 0.1 // the window begins that much earlier and ends that much later
	hybridCV     = 2.0 // below it the histogram says nothing
	hybridBeyond = 0.5 // share of idle times out of range above which it says nothing
)

// Hybrid is the hybrid histogram policy of Shahrad et al., "Serverless in the Wild" (ATC
// 2020): idle times of an application in bins of a minute up to 4 h; it is unloaded when it
// falls idle, loaded again at the 5th percentile of its idle times and kept until the 99th,
// both with 10 % of margin; a head in the first bin means that it is not unloaded at all.
// While the histogram does not tell (coefficient of variation of its bins below 2), it is
// kept for the histogram's range. Where most idle times lie beyond the range the paper
// forecasts with ARIMA; here the same fixed keep-alive, its fallback, stands in.
//
// The paper's application is one container. Here each of a function's replicas is one: the
// k-th is in use while more than k-1 replicas' slots are taken or waited for, and has its own
// histogram.
func Hybrid() Family { return HybridRange(hybridRange) }

// HybridRange is Hybrid with another range of the histogram, at most the published one.
func HybridRange(width time.Duration) Family {
	width = max(hybridBin, min(width, hybridRange).Truncate(hybridBin))
	name := nameHybrid
	if width != hybridRange {
		name = fmt.Sprintf("%s-%gm", nameHybrid, width.Minutes())
	}
	return Family{
		Name: name, Push: true,
		New: func(_ string, s Settings) Policy { return &hybrid{Settings: s, width: width} },
	}
}

const nameHybrid = "hybrid-histogram"

type hybrid struct {
	Settings
	width  time.Duration // of the histogram
	need   int
	levels []level
}

// level is one replica's worth of a function.
type level struct {
	used     bool // ever
	idleFrom time.Duration
	bins     [hybridBins]uint32
	in, out  uint32 // idle times within the range, beyond it
	squares  float64
	from, to time.Duration // after idleFrom: when it is to be there
}

// Decide counts the levels that are to be there.
func (p *hybrid) Decide(v *View) Order {
	p.move(min(slotsFor(v.Peak, p.Slots), p.Max), v.Now)
	p.move(min(slotsFor(v.Load(), p.Slots), p.Max), v.Now)
	o := Order{Target: p.need, Next: 0}
	next := never
	for k := p.need; k < len(p.levels); k++ {
		l := &p.levels[k]
		from, to := l.idleFrom+l.from, l.idleFrom+l.to
		switch {
		case v.Now < from:
			next = min(next, from)
		case v.Now < to:
			o.Target++
			next = min(next, to)
		}
	}
	o.Target = max(o.Target, p.Min)
	if next != never {
		o.Next = next
	}
	return o
}

// move sets how many levels are in use.
func (p *hybrid) move(need int, now time.Duration) {
	for len(p.levels) < need {
		p.levels = append(p.levels, level{})
	}
	for k := p.need; k < need; k++ {
		p.levels[k].use(now, p.width)
	}
	for k := need; k < p.need; k++ {
		p.levels[k].rest(now, p.width)
	}
	p.need = need
}

// use ends an idle time.
func (l *level) use(now, width time.Duration) {
	if !l.used {
		l.used = true
		return
	}
	if idle := now - l.idleFrom; idle < width {
		b := &l.bins[idle/hybridBin]
		l.squares += float64(2**b + 1)
		*b++
		l.in++
	} else {
		l.out++
	}
}

// rest begins an idle time and plans it.
func (l *level) rest(now, width time.Duration) {
	l.idleFrom = now
	l.from, l.to = 0, width
	if !l.tells(int(width / hybridBin)) {
		return
	}
	head, tail := l.quantile(hybridHead), l.quantile(hybridTail)
	l.from = time.Duration(float64(head) * float64(hybridBin) * (1 - hybridMargin)) // the bin's beginning
	l.to = time.Duration(float64(tail+1) * float64(hybridBin) * (1 + hybridMargin)) // the bin's end
}

// tells is whether the histogram is representative.
func (l *level) tells(bins int) bool {
	if l.in == 0 || float64(l.out) > hybridBeyond*float64(l.in+l.out) {
		return false
	}
	mean := float64(l.in) / float64(bins)
	return math.Sqrt(max(0, l.squares/float64(bins)-mean*mean))/mean >= hybridCV
}

// quantile is the bin below or in which a share of the idle times lies.
func (l *level) quantile(p float64) int {
	want := uint32(math.Ceil(p * float64(l.in)))
	sum := uint32(0)
	for i, n := range l.bins {
		if sum += n; sum >= want {
			return i
		}
	}
	return hybridBins - 1
}
