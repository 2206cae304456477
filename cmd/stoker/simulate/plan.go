package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/plan"
	"stoker.dev/stoker/scale/simulate"
)

// ErrCut is returned by [Plan] when it was interrupted: a plan from a part of a trace would mislead.
var ErrCut = errors.New("interrupted: there is no plan")

// PlanOptions are what is planned.
type PlanOptions struct {
	Trace, Manifest string
	Profiles        []string // GPU products to compare; none: the default profile
	Seed            uint64
	Progress        func(pass string, read, of int64)
}

// Product is a plan on one GPU product.
type Product struct {
	Name string `json:"product"`
	plan.Cost
	GPUs      float64      `json:"gpus_mean"`
	Attained  float64      `json:"slo_attainment"`
	Meets     bool         `json:"meets_slo"`
	Functions []Advised    `json:"functions"`
	Nines     []NineOfCost `json:"nines"`
}

// Advised is what to write into the manifest of a function.
type Advised struct {
	Function  string  `json:"function"`
	Min       int     `json:"min"`
	Max       int     `json:"max"` // the most replicas that ran at a time
	KeepAlive string  `json:"keepAlive"`
	GPUs      int     `json:"gpus_at_max"`
	Attained  float64 `json:"slo_attainment"`
}

// NineOfCost is what one level of the objective costs.
type NineOfCost struct {
	Share    float64 `json:"share"`
	Attained float64 `json:"slo_attainment"`
	plan.Cost
}

// Plan tries candidates for every function on every product, keeps the cheapest that meets each function's objective,
// and runs what it kept together. Errors are those of [Run], ReadProfile and ReadManifest, and ErrCut.
func Plan(ctx context.Context, o PlanOptions) ([]Product, error) {
	fallback, settings, err := ReadManifest(o.Manifest)
	if err != nil {
		return nil, err
	}
	tokens, err := countTokens(o.Trace)
	if err != nil {
		return nil, err
	}
	profiles, names := []Profile{fallback}, []string{"default"}
	if len(o.Profiles) > 0 {
		profiles, names = nil, nil
	}
	for _, file := range o.Profiles {
		p, err := ReadProfile(file, o.Trace)
		if err != nil {
			return nil, err
		}
		profiles, names = append(profiles, p), append(names, strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)))
	}
	var out []Product
	for i, p := range profiles {
		of := settings
		if len(o.Profiles) > 0 {
			own := p.Settings("")
			of = func(f string) simulate.Settings { // the product's speed, the manifest's objective and bounds
				s := settings(f)
				s.Slots, s.GPUs, s.ColdStart = own.Slots, own.GPUs, own.ColdStart
				return s
			}
		}
		x, err := (&planner{PlanOptions: o, ctx: ctx, profile: p, settings: of, tokens: tokens}).product(names[i])
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

type planner struct {
	PlanOptions
	ctx      context.Context //nolint:containedctx // of one call of Plan
	profile  Profile
	settings func(string) simulate.Settings
	tokens   float64
}

// ran is one run of stoker.
type ran struct {
	simulate.Result
	functions []simulate.FunctionResult
	most      map[string]int
}

func (p *planner) run(settings func(string) simulate.Settings) (ran, error) {
	r := ran{most: map[string]int{}}
	report, err := Run(p.ctx, Options{
		Trace: p.Trace, Profile: p.profile, Settings: settings, Policies: []string{"stoker"}, Seed: p.Seed, Progress: p.Progress,
		Timeline: func(string) func(simulate.Row) {
			return func(row simulate.Row) { r.most[row.Function] = max(r.most[row.Function], row.Hot+row.Starting) }
		},
	})
	if err == nil && report.Cut {
		err = ErrCut
	}
	if err != nil {
		return r, err
	}
	r.Result, r.functions = report.Results[0], report.Functions["stoker"]
	return r, nil
}

func with(s simulate.Settings, c plan.Candidate) simulate.Settings {
	s.Min, s.KeepAlive = c.Min, c.KeepAlive
	s.Max = max(s.Max, s.Min, 1)
	return s
}

func (p *planner) product(name string) (Product, error) {
	outcomes := map[string][]plan.Outcome{}
	for _, c := range plan.Candidates() {
		r, err := p.run(func(f string) simulate.Settings { return with(p.settings(f), c) })
		if err != nil {
			return Product{}, err
		}
		for _, f := range r.functions {
			outcomes[f.Function] = append(outcomes[f.Function], plan.Outcome{Candidate: c, GPUSeconds: f.GPUSeconds, InTime: float64(f.InTime) / float64(max(1, f.Requests))})
		}
	}
	at := func(share float64) func(string) simulate.Settings { // 0: the manifest's
		return func(f string) simulate.Settings {
			s := p.settings(f)
			if share > 0 {
				s.WaitAt = share
			}
			best, _ := plan.Choose(outcomes[f], s.WaitAt)
			return with(s, best.Candidate)
		}
	}
	kept, err := p.run(at(0))
	if err != nil {
		return Product{}, err
	}
	x := Product{Name: name, Cost: p.cost(kept.Result), GPUs: kept.GPUSeconds / max(kept.Seconds, 1e-9), Attained: kept.Attainment, Meets: true}
	for _, f := range kept.functions {
		s, share := at(0)(f.Function), float64(f.InTime)/float64(max(1, f.Requests))
		keep := "auto"
		if s.KeepAlive != scale.AutoKeepAlive {
			keep = s.KeepAlive.String()
		}
		x.Meets = x.Meets && share >= s.WaitAt
		x.Functions = append(x.Functions, Advised{Function: f.Function, Min: s.Min, Max: kept.most[f.Function], KeepAlive: keep, GPUs: kept.most[f.Function] * max(1, s.GPUs), Attained: share})
	}
	for _, share := range plan.Nines() {
		r, err := p.run(at(share))
		if err != nil {
			return Product{}, err
		}
		x.Nines = append(x.Nines, NineOfCost{Share: share, Attained: r.Attainment, Cost: p.cost(r.Result)})
	}
	return x, nil
}

func (p *planner) cost(r simulate.Result) plan.Cost {
	return plan.CostOf(r.GPUSeconds, r.Seconds, p.profile.Price, r.Requests, p.tokens)
}

// countTokens adds up what the trace's requests read and wrote.
func countTokens(file string) (float64, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrTrace, err)
	}
	defer func() { _ = f.Close() }()
	t, err := NewTrace(file, f)
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for {
		r, err := t.Next()
		if errors.Is(err, io.EOF) {
			return sum, nil
		}
		if err != nil {
			return 0, err
		}
		sum += float64(r.Input) + float64(r.Output)
	}
}

// PlanTable writes a plan for people.
func PlanTable(w io.Writer, products []Product) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	cheapest := products[0]
	for _, x := range products {
		if x.Meets && !cheapest.Meets || x.Meets == cheapest.Meets && x.PerRequest < cheapest.PerRequest {
			cheapest = x
		}
		fmt.Fprintf(tw, "PRODUCT\tGPUS\tUSD/HOUR\tUSD/MONTH\tUSD/1000 REQUESTS\tUSD/1M TOKENS\tIN-TIME\tOBJECTIVE\n")
		met := "met"
		if !x.Meets {
			met = "missed"
		}
		fmt.Fprintf(tw, "%s\t%.2f\t%.2f\t%.2f\t%.4f\t%.4f\t%s\t%s\n", x.Name, x.GPUs, x.PerHour, x.PerMonth, x.PerRequest*1000, x.PerMillionToken, percent(x.Attained), met)
		fmt.Fprintf(tw, "\nFUNCTION\tmin\tmax\tkeepAlive\tGPUS AT MAX\tIN-TIME\n")
		for _, f := range x.Functions {
			fmt.Fprintf(tw, "%s\t%d\t%d\t%s\t%d\t%s\n", f.Function, f.Min, f.Max, f.KeepAlive, f.GPUs, percent(f.Attained))
		}
		fmt.Fprintf(tw, "\nOBJECTIVE\tUSD/HOUR\tUSD/MONTH\tIN-TIME\n")
		for _, n := range x.Nines {
			fmt.Fprintf(tw, "%g%%\t%.2f\t%.2f\t%s\n", n.Share*100, n.PerHour, n.PerMonth, percent(n.Attained))
		}
		fmt.Fprintln(tw)
	}
	if len(products) > 1 {
		fmt.Fprintf(tw, "cheapest per request and per million tokens: %s\n", cheapest.Name)
	}
	return tw.Flush()
}
