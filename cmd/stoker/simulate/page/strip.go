package page

import "time"

const (
	// maxBins bounds the intervals of a plot: more than a screen has pixels for.
	maxBins = 1024
	// firstBin is the width that intervals begin with.
	firstBin = time.Second
)

// strip is one quantity over time: its mean and its most in each interval. When time goes on
// beyond maxBins intervals, each two become one.
type strip struct {
	width time.Duration
	area  []float64 // integral over the interval, units × seconds
	most  []float64
}

func newStrip() *strip { return &strip{width: firstBin} }

// add says that the quantity is larger by v from a moment until another, since the strip's
// zero.
func (s *strip) add(v float64, from, to time.Duration) {
	if to <= from || v == 0 {
		return
	}
	s.reach(to)
	for i := int(from / s.width); from < to; i++ {
		end := min(to, time.Duration(i+1)*s.width)
		s.area[i] += v * (end - from).Seconds()
		from = end
	}
}

// touch says that the quantity is v for however short a time.
func (s *strip) touch(v float64, at time.Duration) {
	s.reach(at + 1)
	i := int(at / s.width)
	s.most[i] = max(s.most[i], v)
}

// hold says that the quantity is v from a moment until another.
func (s *strip) hold(v float64, from, to time.Duration) {
	s.touch(v, from)
	if to <= from || v == 0 {
		return
	}
	s.add(v, from, to)
	for i := int(from / s.width); i <= int((to-1)/s.width); i++ {
		s.most[i] = max(s.most[i], v)
	}
}

// reach makes intervals up to a moment, which the last one holds just before its end.
func (s *strip) reach(to time.Duration) {
	for to > maxBins*s.width {
		s.coarsen()
	}
	for n := int((to + s.width - 1) / s.width); len(s.area) < n; {
		s.area, s.most = append(s.area, 0), append(s.most, 0)
	}
}

// coarsen makes one interval of each two.
func (s *strip) coarsen() {
	s.width *= 2
	n := (len(s.area) + 1) / 2
	for i := range n {
		area, most := s.area[2*i], s.most[2*i]
		if j := 2*i + 1; j < len(s.area) {
			area, most = area+s.area[j], max(most, s.most[j])
		}
		s.area[i], s.most[i] = area, most
	}
	s.area, s.most = s.area[:n], s.most[:n]
}

// widen makes intervals at least so wide.
func (s *strip) widen(width time.Duration) {
	for s.width < width {
		s.coarsen()
	}
}

// means are the mean of each interval.
func (s *strip) means() []float64 {
	out := make([]float64, len(s.area))
	for i, a := range s.area {
		out[i] = a / s.width.Seconds()
	}
	return out
}
