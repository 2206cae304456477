package scale

import (
	"slices"
	"time"
)

const (
	// ScaleInWindow is how long more replicas than needed are kept while requests come:
	// the surplus goes once it was surplus at every moment of the window. Long enough to
	// bridge the ripple that starting replicas causes, and half of what autoscalers
	// commonly take, since going to zero has its own clock.
	ScaleInWindow = 30 * time.Second
	// maxPoints bounds the window; more distinct levels are merged upwards.
	maxPoints = 64
)

// Window is the maximum of a step function over ScaleInWindow. It keeps only the levels
// that can still become the maximum: N falls from point to point, At does not.
type Window struct {
	Points []Point `json:"points,omitempty"`
}

// Point is a level and the last moment it held.
type Point struct {
	N  int       `json:"n"`
	At time.Time `json:"at"`
}

// Push says that n held at now, and forgets what has left the window.
func (w Window) Push(n int, now time.Time) Window {
	keep := make([]Point, 0, len(w.Points)+1)
	for _, p := range w.Points {
		if p.N > n && p.At.Add(ScaleInWindow).After(now) {
			keep = append(keep, p)
		}
	}
	keep = append(keep, Point{N: n, At: now})
	if len(keep) > maxPoints {
		keep[1].N = keep[0].N // merged upwards: later than due, never too early
		keep = keep[1:]
	}
	return Window{Points: keep}
}

// Peak is the largest level in the window; 0 for an empty one.
func (w Window) Peak() int {
	peak := 0
	for _, p := range w.Points {
		peak = max(peak, p.N)
	}
	return peak
}

// Falls is when the peak leaves the window if nothing above n is pushed; zero if the peak
// is n or less.
func (w Window) Falls(n int) time.Time {
	if w.Peak() <= n {
		return time.Time{}
	}
	i := slices.IndexFunc(w.Points, func(p Point) bool { return p.N == w.Peak() })
	return w.Points[i].At.Add(ScaleInWindow)
}

// settled bounds what a store held.
func (w Window) settled(now time.Time) Window {
	points := slices.Clone(w.Points)
	points = points[max(0, len(points)-maxPoints):]
	for i := range points {
		points[i].N = clamp(points[i].N, 0, MaxReplicas)
		points[i].At = earliest(wall(points[i].At), now)
	}
	if len(points) == 0 {
		return Window{}
	}
	return Window{Points: points}
}
