package simulate

import (
	"cmp"
	"slices"
)

// Frontier is what a family of policies needs at each attainment, its constant chosen with
// hindsight: of its results, those that no other beats in both GPU-seconds and attainment,
// and the lines between neighbours.
type Frontier []Result

// NewFrontier takes the results of one family on one trace.
func NewFrontier(results []Result) Frontier {
	sorted := slices.Clone(results)
	slices.SortStableFunc(sorted, func(a, b Result) int {
		return cmp.Or(cmp.Compare(b.Attainment, a.Attainment), cmp.Compare(a.GPUSeconds, b.GPUSeconds))
	})
	var out Frontier // from the highest attainment down, ever cheaper
	for _, r := range sorted {
		if len(out) == 0 || r.GPUSeconds < out[len(out)-1].GPUSeconds {
			out = append(out, r)
		}
	}
	slices.Reverse(out)
	return out
}

// At is the GPU-seconds at an attainment, interpolated: mixing two constants by time or by
// function comes to what lies on the line between them. An attainment below all results costs
// what the cheapest does; one above all of them is not reached.
func (f Frontier) At(attainment float64) (gpuSeconds float64, reached bool) {
	i := slices.IndexFunc(f, func(r Result) bool { return r.Attainment >= attainment })
	switch {
	case i < 0:
		return 0, false
	case i == 0:
		return f[0].GPUSeconds, true
	}
	a, b := f[i-1], f[i]
	part := (attainment - a.Attainment) / (b.Attainment - a.Attainment)
	return a.GPUSeconds + part*(b.GPUSeconds-a.GPUSeconds), true
}
