package scale

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// Constants of the sketch of durations.
const (
	spanBins = 50 // from a second to spanLimit, ten per factor of ten: 26 % wide, finer than habits differ
	perTen   = 10
	// spanLimit is the upper edge of the last bin, seconds: a day and four hours, so that
	// what comes once a day falls into a bin.
	spanLimit = 100_000
	// spanMemory is how many durations count: older ones fade, since functions change
	// their ways.
	spanMemory = 200
)

// Spans is a histogram of durations in bins that grow by a quarter each, so that seconds
// and days have room in one small sketch. What is longer than spanLimit counts apart. Old
// ones fade.
type Spans struct {
	bins  [spanBins]float32
	over  float32
	total float32 // of all; every decision asks for it several times, and few change it
}

// edges are the bounds of the bins, seconds; the first bin begins at 0.
var edges = func() (e [spanBins + 1]float64) {
	for i := 1; i <= spanBins; i++ {
		e[i] = math.Pow(10, float64(i)/perTen)
	}
	return e
}()

// Add counts a duration.
func (g Spans) Add(d time.Duration) Spans {
	if g.total >= spanMemory {
		g = Spans{}.plus(&g, 1-1.0/spanMemory)
	}
	i := 0
	if sec := d.Seconds(); sec >= edges[1] {
		i = int(math.Log10(sec) * perTen)
	}
	if i < spanBins {
		g.bins[i]++
	} else {
		g.over++
	}
	g.total = g.sum()
	return g
}

// plus adds another histogram, each of its durations counting as much as weight.
func (g Spans) plus(o *Spans, weight float32) Spans {
	for i, n := range o.bins {
		g.bins[i] += n * weight
	}
	g.over += o.over * weight
	g.total = g.sum()
	return g
}

func (g *Spans) sum() float32 {
	sum := g.over
	for _, n := range g.bins {
		sum += n
	}
	return sum
}

// share is the weight with which another histogram's durations count as weight together.
func (g *Spans) share(weight float32) float32 {
	if g.total > 0 {
		return weight / g.total
	}
	return 0
}

// MarshalJSON writes how many were beyond the last bin, then the bins up to the last that
// is not empty.
func (g Spans) MarshalJSON() ([]byte, error) {
	counts := append([]float32{g.over}, g.bins[:]...)
	for len(counts) > 0 && counts[len(counts)-1] == 0 {
		counts = counts[:len(counts)-1]
	}
	return json.Marshal(counts)
}

// UnmarshalJSON reads what MarshalJSON wrote; what is no count is left out.
func (g *Spans) UnmarshalJSON(data []byte) error {
	var counts []float32
	if err := json.Unmarshal(data, &counts); err != nil {
		return fmt.Errorf("histogram of durations: %w", err)
	}
	*g = Spans{}
	for i, n := range counts[:min(len(counts), spanBins+1)] {
		switch {
		case n < 0 || n > 2*spanMemory: // never written
		case i == 0:
			g.over = n
		default:
			g.bins[i-1] = n
		}
	}
	g.total = g.sum()
	return nil
}
