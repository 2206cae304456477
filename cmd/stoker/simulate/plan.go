package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"stoker.dev/stoker/scale/plan"
	"stoker.dev/stoker/scale/simulate"
)

// ErrCut is returned by [Plan] when it was interrupted: a plan from a part of a trace would mislead.
var ErrCut = errors.New("interrupted: there is no plan")

// PlanOptions are what is planned.
type PlanOptions struct {
	Trace, Manifest string
	Profiles        []string // GPU products to compare; none: the default profile
	WithinMax       bool     // the manifests' max bounds the plan; otherwise the objective decides
	Seed            uint64
	// Progress is told how many of the simulations are done; nil: nobody.
	Progress func(pass string, done, of int64)
}

// Product is a plan on one GPU product.
type Product struct {
	Name string `json:"product"`
	Came
	AsIs      Came         `json:"as_is"`     // the manifests as they are
	Functions []Advised    `json:"functions"` // what to write into the manifests for the plan
	Tried     []Tried      `json:"tried"`     // the plan among others
	Nines     []NineOfCost `json:"nines"`
}

// Came is what a simulation came to.
type Came struct {
	plan.Cost
	GPUs     float64 `json:"gpus_mean"`
	Attained float64 `json:"slo_attainment"` // of all requests
	Meets    bool    `json:"meets_slo"`      // no more are late than the functions' objectives allow together
}

// Tried is one way to keep all functions.
type Tried struct {
	Name string `json:"name"` // such as "min 0, keepAlive auto"
	Came
}

// Advised is what to write into the manifest of a function.
type Advised struct {
	Function  string  `json:"function"`
	Min       int     `json:"min"`
	Max       int     `json:"max"` // the most replicas there were at a time, those on their way out not counted
	KeepAlive string  `json:"keepAlive"`
	GPUs      int     `json:"gpus_at_max"`
	Attained  float64 `json:"slo_attainment"`
	Meets     bool    `json:"meets_slo"` // its own objective
	Now       string  `json:"now"`       // what the manifest has
}

// NineOfCost is what one level of the objective costs.
type NineOfCost struct {
	Share float64 `json:"share"`
	Came
}

// Plan tries candidates on every product and takes the cheapest with which no more requests are late than the objectives
// of all functions allow together, which is what the platform itself aims at. Errors are those of [Run], ReadProfile and ReadManifest, and ErrCut.
func Plan(ctx context.Context, o PlanOptions) ([]Product, error) {
	fallback, manifests, err := ReadManifest(o.Manifest)
	if err != nil {
		return nil, err
	}
	tokens, err := countTokens(o.Trace)
	if err != nil {
		return nil, err
	}
	products := []product{{"default", fallback, manifests}}
	if len(o.Profiles) > 0 {
		products = nil
	}
	for _, file := range o.Profiles {
		p, err := ReadProfile(file, o.Trace)
		if err != nil {
			return nil, err
		}
		products = append(products, product{strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)), p, onProduct(manifests, p)})
	}
	var out []Product
	for _, x := range products {
		p := &planner{PlanOptions: o, product: x, tokens: tokens}
		planned, err := p.plan(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, planned)
	}
	return out, nil
}

// product is a GPU product to plan for.
type product struct {
	name     string
	profile  Profile
	settings func(string) simulate.Settings // of the manifests, on it
}

// onProduct is the product's speed with the manifests' objectives and bounds.
func onProduct(manifests func(string) simulate.Settings, p Profile) func(string) simulate.Settings {
	own := p.Settings("")
	return func(f string) simulate.Settings {
		s := manifests(f)
		s.Slots, s.GPUs, s.ColdStart = own.Slots, own.GPUs, own.ColdStart
		return s
	}
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
