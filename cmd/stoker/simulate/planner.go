package simulate

import (
	"context"
	"math"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/plan"
	"stoker.dev/stoker/scale/simulate"
)

// planner plans for one product. Simulations of candidates know nothing of each other, so as many run at a time as
// there are cores.
type planner struct {
	PlanOptions
	product
	tokens float64
	mu     sync.Mutex
	done   int64
}

// ran is one simulation under stoker's policy.
type ran struct {
	simulate.Result
	settings  func(string) simulate.Settings
	functions []simulate.FunctionResult
	most      map[string]int // replicas at a time
	fixed     map[string]int // the fewest always on that meet the objective
}

// planned is how many simulations a plan takes: of the manifests as they are, and of the candidates for their own
// objectives and for each of the nines.
func planned() int { return 1 + len(plan.Candidates(0, 0))*(1+len(plan.Nines())) }

// plan is a plan for the manifests' own objectives, and for the nines.
func (p *planner) plan(ctx context.Context) (Product, error) {
	asIs, err := p.run(ctx, p.settings)
	if err != nil {
		return Product{}, err
	}
	tried, err := p.try(ctx, p.bounded(0))
	if err != nil {
		return Product{}, err
	}
	best := choose(tried)
	out := Product{Name: p.name, Came: p.came(best), AsIs: p.came(asIs), Functions: p.advice(best)}
	for i, r := range tried {
		out.Tried = append(out.Tried, Tried{Name: nameOf(i), Came: p.came(r)})
	}
	for _, share := range plan.Nines() {
		tried, err := p.try(ctx, p.bounded(share))
		if err != nil {
			return Product{}, err
		}
		out.Nines = append(out.Nines, NineOfCost{Share: share, Came: p.came(choose(tried))})
	}
	return out, nil
}

// nameOf is what people call the i-th candidate. The last two have another min for each function.
func nameOf(i int) string {
	all := plan.Candidates(0, 0)
	switch len(all) - i {
	case 1:
		return "always on, as many as the objective needs"
	case 2:
		return "min 1 for those with most late requests"
	}
	return "min " + strconv.Itoa(all[i].Min) + ", keepAlive " + keepAlive(all[i].KeepAlive)
}

// bounded are the manifests' settings with the max that a plan may use, for a share of requests in time; 0: their own.
func (p *planner) bounded(share float64) func(string) simulate.Settings {
	return func(f string) simulate.Settings {
		s := p.settings(f)
		if share > 0 {
			s.WaitAt = share
		}
		if s.Max = max(s.Max, 1); !p.WithinMax {
			s.Max = max(s.Max, DefaultMax)
		}
		return s
	}
}

// try runs every candidate. What the last ones are is known once the first has run.
func (p *planner) try(ctx context.Context, settings func(string) simulate.Settings) ([]ran, error) {
	first, err := p.run(ctx, candidate(settings, ran{}, nil, 0))
	if err != nil {
		return nil, err
	}
	late, allowed := first.late()
	worst := plan.Worst(late, allowed)
	tried := make([]ran, len(plan.Candidates(0, 0)))
	tried[0] = first
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := 1; i < len(tried); i++ {
		g.Go(func() (err error) {
			tried[i], err = p.run(ctx, candidate(settings, first, worst, i))
			return err
		})
	}
	return tried, g.Wait()
}

// candidate is the i-th one for each function, within its max.
func candidate(settings func(string) simulate.Settings, first ran, worst map[string]bool, i int) func(string) simulate.Settings {
	return func(f string) simulate.Settings {
		some := 0
		if worst[f] {
			some = 1
		}
		s, c := settings(f), plan.Candidates(some, first.fixed[f])[i]
		s.Min, s.KeepAlive = min(c.Min, s.Max), c.KeepAlive
		return s
	}
}

// choose takes the best of what was tried.
func choose(tried []ran) ran {
	var outcomes []plan.Outcome
	for _, r := range tried {
		outcomes = append(outcomes, r.outcome())
	}
	return tried[plan.Choose(outcomes)]
}

// late is how many requests of each function were late, and how many of all together may be.
func (r ran) late() (of map[string]int, allowed float64) {
	of = map[string]int{}
	for _, f := range r.functions {
		of[f.Function] = f.Requests - f.InTime
		allowed += float64(f.Requests) * (1 - r.settings(f.Function).WaitAt)
	}
	return of, allowed
}

// outcome holds what was late against what may be.
func (r ran) outcome() plan.Outcome {
	late, allowed := r.late()
	sum := 0
	for _, n := range late {
		sum += n
	}
	return plan.Outcome{GPUSeconds: r.GPUSeconds, Late: float64(sum) / math.Max(allowed, 1e-9)}
}

// run is one simulation.
func (p *planner) run(ctx context.Context, settings func(string) simulate.Settings) (ran, error) {
	r := ran{settings: settings, most: map[string]int{}}
	report, err := Run(ctx, Options{
		Trace: p.Trace, Profile: p.profile, Settings: settings, Policies: []string{"stoker"}, Seed: p.Seed,
		Timeline: func(string) func(simulate.Row) {
			return func(row simulate.Row) {
				r.most[row.Function] = max(r.most[row.Function], row.Hot-row.Draining+row.Starting)
			}
		},
	})
	if err == nil && report.Cut {
		err = ErrCut
	}
	if err != nil {
		return r, err
	}
	p.tell()
	r.Result, r.functions, r.fixed = report.Results[0], report.Functions["stoker"], report.Fixed
	return r, nil
}

// tell says that one more simulation is done.
func (p *planner) tell() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done++; p.Progress != nil {
		p.Progress("plan for "+p.name, p.done, int64(planned()))
	}
}

// came is what a run cost, and what it attained.
func (p *planner) came(r ran) Came {
	return Came{
		Cost: plan.CostOf(r.GPUSeconds, r.Seconds, p.profile.Price, r.Requests, p.tokens),
		GPUs: r.GPUSeconds / max(r.Seconds, 1e-9), Attained: r.Attainment, Meets: r.outcome().Meets(),
	}
}

// advice is what to write into the manifests.
func (p *planner) advice(best ran) []Advised {
	var out []Advised
	for _, f := range best.functions {
		s, most, now := best.settings(f.Function), max(1, best.most[f.Function]), p.settings(f.Function)
		share := float64(f.InTime) / float64(max(1, f.Requests))
		out = append(out, Advised{
			Function: f.Function, Min: s.Min, Max: most, KeepAlive: keepAlive(s.KeepAlive), GPUs: most * max(1, s.GPUs),
			Attained: share, Meets: share >= s.WaitAt, Now: strconv.Itoa(now.Min) + " to " + strconv.Itoa(now.Max) + ", " + keepAlive(now.KeepAlive),
		})
	}
	return out
}

func keepAlive(d time.Duration) string {
	if d == scale.AutoKeepAlive {
		return "auto"
	}
	return functions.Duration(d).String()
}
