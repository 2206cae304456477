package scale

import (
	"math"
	"slices"
	"time"
)

const (
	// ScaleInWindow is how long more replicas than needed are kept while requests come:
	// the surplus goes once it was surplus at every moment of the window. Long enough to
	// bridge the ripple that starting replicas causes, and half of what autoscalers
	// commonly take, since going to zero has its own clock.
	ScaleInWindow = 30 * time.Second
	// maxPoints bounds the window; of more distinct levels those of like age are merged.
	maxPoints = 32
	// levelMemory is how long a level that is not needed is remembered: beyond the longest
	// gap that is learned.
	levelMemory = spanLimit * time.Second
)

// Window is when each level of a step function held last: level k at the last point with N
// of k or more. It keeps only what that needs: N falls from point to point, At does not.
type Window struct {
	Points []Point `json:"points,omitempty"`
}

// Point is a level and the last moment it held.
type Point struct {
	N  int       `json:"n"`
	At time.Time `json:"at"`
}

// push says that n held at now, and forgets what has left the window. It changes the points in
// place: they must be nobody else's.
func (w *Window) push(n int, now time.Time) {
	keep := w.Points[:0]
	for _, p := range w.Points {
		if p.N > n && p.At.Add(levelMemory).After(now) {
			keep = append(keep, p)
		}
	}
	w.Points = append(keep, Point{N: n, At: now})
	if len(w.Points) > maxPoints {
		w.Points = merge(w.Points, now)
	}
}

// merge makes one of the two neighbours whose ages differ least: the higher level counts as
// needed as late as the lower one. So it is held longer than due, never too short.
func merge(points []Point, now time.Time) []Point {
	best, least := 0, math.Inf(1)
	for i := range len(points) - 1 {
		older, newer := now.Sub(points[i].At).Seconds(), now.Sub(points[i+1].At).Seconds()
		if ratio := (older + 1) / (newer + 1); ratio < least {
			best, least = i, ratio
		}
	}
	points[best+1].N = points[best].N
	return slices.Delete(points, best, best+1)
}

// Peak is the largest level within ScaleInWindow; 0 for an empty window.
func (w Window) Peak(now time.Time) int {
	for _, p := range w.Points {
		if p.At.Add(ScaleInWindow).After(now) {
			return p.N
		}
	}
	return 0
}

// settled bounds what a store held. Its points are a copy, with room for what one turn pushes.
func (w Window) settled(now time.Time) Window {
	last := w.Points[max(0, len(w.Points)-maxPoints):]
	points := make([]Point, len(last), len(last)+3)
	for i, p := range last {
		points[i] = Point{N: clamp(p.N, 0, MaxReplicas), At: earliest(wall(p.At), now)}
	}
	return Window{Points: points}
}
