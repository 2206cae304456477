package page

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	policies "stoker.dev/stoker/scale/simulate"
)

// maxShown bounds the functions whose cold starts are drawn; the page says how many more
// there are.
const maxShown = 20

// data is what the plots are made of, as JSON.
type data struct {
	Width  float64   `json:"width"` // of an interval, seconds
	Demand []float64 `json:"demand"`
	Lines  []drawn   `json:"lines"`
	Points []point   `json:"points"`
	Late   float64   `json:"late"`  // what the objective allows, percent; 0: not known
	Floor  float64   `json:"floor"` // percent at which none is drawn
	Cold   coldOf    `json:"cold"`
	Shown  string    `json:"shown"` // the policy shown first
}

// drawn is a policy over time: GPUs, and requests that wait.
type drawn struct {
	Name   string    `json:"name"`
	Held   []float64 `json:"held"`
	Most   []float64 `json:"most"`
	Queued []float64 `json:"queued"` // the most in the interval
	Busy   []float64 `json:"busy,omitempty"`
	Warm   []float64 `json:"warm,omitempty"` // held and not starting
}

// point is a policy by what it costs and how many it serves late.
type point struct {
	Name   string  `json:"name"`
	Family string  `json:"family"`
	Hours  float64 `json:"hours"` // GPU-hours
	USD    float64 `json:"usd"`
	Late   float64 `json:"late"` // percent
	Rate   float64 `json:"rate"` // cold starts, percent
}

// coldOf are the functions that had most cold starts under the first policy.
type coldOf struct {
	Functions []string   `json:"functions"`
	Requests  []int      `json:"requests"`
	Policies  []coldBars `json:"policies"`
	More      int        `json:"more"` // functions that are not shown
}

type coldBars struct {
	Name  string `json:"name"`
	Count []int  `json:"count"` // requests that found no ready replica
}

func (v *view) charts(r *Recorder) data {
	d := data{Shown: v.First.Policy, Width: r.align().Seconds(), Demand: short(r.demand.means())}
	for _, x := range v.Report.Results {
		l := r.lines[x.Policy]
		if l == nil {
			continue
		}
		end := l.at
		one := drawn{Name: x.Policy, Held: short(l.held.means()), Most: short(l.held.most), Queued: short(l.queued.most)}
		if len(d.Lines) == 0 {
			one.Busy, one.Warm = short(l.busy.means()), short(difference(l.held.means(), l.cold.means()))
		}
		one.trim(int((end + time.Duration(d.Width*1e9) - 1) / time.Duration(d.Width*1e9)))
		d.Lines = append(d.Lines, one)
	}
	d.frontier(v)
	d.Cold = v.cold()
	return d
}

// trim gives all of a line's series one length.
func (l *drawn) trim(n int) {
	for _, s := range []*[]float64{&l.Held, &l.Most, &l.Queued, &l.Busy, &l.Warm} {
		if *s != nil {
			for len(*s) < n {
				*s = append(*s, 0)
			}
			*s = (*s)[:n]
		}
	}
}

func difference(a, b []float64) []float64 {
	out := slices.Clone(a)
	for i := range out {
		if i < len(b) {
			out[i] -= b[i]
		}
	}
	return out
}

// short rounds to four digits, which is finer than a pixel.
func short(values []float64) []float64 {
	for i, x := range values {
		if x != 0 {
			scale := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(x))))
			values[i] = math.Round(x*scale) / scale
		}
	}
	return values
}

// frontier places the policies. Nothing late cannot be drawn on a logarithmic axis, so it is
// at a floor below every other.
func (d *data) frontier(v *view) {
	if v.Objective.Known {
		d.Late = (1 - v.Objective.Share) * 100
	}
	d.Floor = math.Inf(1)
	for _, r := range v.Report.Results {
		p := point{Name: r.Policy, Family: familyOf(r.Policy), Hours: r.GPUSeconds / 3600, USD: r.CostUSD, Late: (1 - r.Attainment) * 100, Rate: r.ColdRate * 100}
		if p.Late < 1e-9 {
			p.Late = 0
		} else {
			d.Floor = min(d.Floor, p.Late/2)
		}
		d.Points = append(d.Points, p)
	}
	if d.Late > 0 {
		d.Floor = min(d.Floor, d.Late/5)
	}
	if math.IsInf(d.Floor, 1) {
		d.Floor = 0.01
	}
	slices.SortStableFunc(d.Points, func(a, b point) int { return cmp.Compare(a.Hours, b.Hours) })
}

// familyOf groups the constants of one policy.
func familyOf(policy string) string {
	for _, f := range []string{"timer", "keda", "knative", "hybrid-histogram"} {
		if policy == f || strings.HasPrefix(policy, f+"-") {
			return f
		}
	}
	return policy
}

// cold picks the functions with most cold starts under the first policy that has any.
func (v *view) cold() coldOf {
	first := v.Report.Functions[v.First.Policy]
	order := slices.Clone(first)
	slices.SortStableFunc(order, func(a, b policies.FunctionResult) int {
		return cmp.Or(cmp.Compare(b.ColdRequests, a.ColdRequests), cmp.Compare(b.Requests, a.Requests))
	})
	c := coldOf{More: max(0, len(order)-maxShown)}
	order = order[:min(len(order), maxShown)]
	for _, f := range order {
		c.Functions, c.Requests = append(c.Functions, f.Function), append(c.Requests, f.Requests)
	}
	for _, r := range v.Report.Results {
		fs, there := v.Report.Functions[r.Policy]
		if !there || r.Policy == policies.NamePeak || r.Policy == policies.NameFixed {
			continue // the bound is no schedule, and the two are always on
		}
		counts := map[string]int{}
		for _, f := range fs {
			counts[f.Function] = f.ColdRequests
		}
		bars := coldBars{Name: r.Policy}
		for _, f := range order {
			bars.Count = append(bars.Count, counts[f.Function])
		}
		c.Policies = append(c.Policies, bars)
	}
	return c
}
