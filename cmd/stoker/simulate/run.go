package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"stoker.dev/stoker/scale/simulate"
)

// Options are what is simulated.
type Options struct {
	Trace    string // a file
	Profile  Profile
	Settings func(function string) simulate.Settings // nil: the profile's, for all
	Policies []string                                // names, in the order of the results
	Seed     uint64
	// Timeline is told every change of a policy; nil, or nil for a policy: nobody.
	Timeline func(policy string) func(simulate.Row)
	// Arrived is told every request that is handed to the policies, before them; nil: nobody.
	Arrived func(simulate.Arrival)
	// Progress is told how far which pass over the trace is, in bytes of the file or in requests; nil: nobody.
	Progress func(pass string, read, of int64)
}

// Report is what a run came to.
type Report struct {
	Results []simulate.Result
	// Cut is whether the run was interrupted: the results are those until then, and only if
	// the simulation itself had begun.
	Cut bool
	// Advice is what is wrong with the profile, in words.
	Advice []string
	// Fixed are the fewest always-on replicas with which each function meets its objective.
	Fixed map[string]int
	// Functions are, for each policy but the bound, what each function came to.
	Functions map[string][]simulate.FunctionResult
}

// batch is how many arrivals are handed to one policy after another: long enough that the
// clock between them costs nothing, short enough for the processor's cache.
const batch = 4096

// maxKept is how many requests are kept in memory between passes, some 80 MB: what is longer is read anew for
// each, so that memory is bounded whatever the trace.
const maxKept = 2_000_000

// Run simulates. There are at least three passes over the trace: for what hindsight needs, for the
// fewest replicas that meet the objective, and for all policies side by side. When ctx ends, the report
// is what is done so far; other errors match ErrTrace or are about the file.
func Run(ctx context.Context, o Options) (Report, error) {
	if o.Settings == nil {
		o.Settings = o.Profile.Settings
	}
	r := &run{Options: o}
	err := r.all(ctx)
	if errors.Is(err, errCut) {
		r.report.Cut, err = true, nil
		r.collect((*simulate.World).SoFar)
	}
	return r.report, err
}

// errCut ends a pass when ctx has ended.
var errCut = errors.New("interrupted")

type run struct {
	Options
	survey *simulate.Survey
	sizing *simulate.Sizing
	worlds []*world
	kept   []simulate.Arrival // requests of the first pass
	whole  bool               // all of them are kept
	long   bool               // they are too many for that
	begun  bool               // the simulation has
	report Report
}

// world is one policy's, with the CPU time it took.
type world struct {
	name string
	*simulate.World
	took time.Duration
}

func (r *run) all(ctx context.Context) error {
	r.survey = simulate.NewSurvey(r.Settings)
	err := r.pass(ctx, "look at the trace", func(as []simulate.Arrival) error {
		for _, a := range as {
			if err := r.survey.Arrive(a); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := r.size(ctx); err != nil {
		return err
	}
	if err := r.worldsOf(); err != nil {
		return err
	}
	if err := r.pass(ctx, "simulate", r.arrive); err != nil {
		return err
	}
	r.collect((*simulate.World).Result)
	r.advise()
	return nil
}

// advise tells if stoker misses the objective, and by which function most, with a minimum that would meet it.
func (r *run) advise() {
	late, allowed, most := 0, 0.0, 0
	var worst simulate.FunctionResult
	for _, f := range r.report.Functions[simulate.Stoker().Name] {
		n := f.Requests - f.InTime
		late, allowed = late+n, allowed+(1-r.Settings(f.Function).WaitAt)*float64(f.Requests)
		if n > most {
			worst, most = f, n
		}
	}
	if float64(late) <= math.Ceil(allowed) {
		return
	}
	s := r.Settings(worst.Function)
	r.report.Advice = append(r.report.Advice, fmt.Sprintf(
		"stoker misses the objective: %d requests are late where %.0f may be, most of them of %s (%d), whose starts take %v on average and whose requests may wait %v: min %d meets it, always on; stoker plan looks for less",
		late, allowed, worst.Function, most, s.ColdStart.Mean().Round(time.Millisecond), s.Wait, r.report.Fixed[worst.Function]))
}

// size finds the fewest replicas that meet the objective.
func (r *run) size(ctx context.Context) error {
	r.sizing = r.survey.Sizing()
	for !r.sizing.Done() {
		err := r.pass(ctx, "size always-on", func(as []simulate.Arrival) error {
			for _, a := range as {
				r.sizing.Arrive(a)
			}
			return nil
		})
		if err != nil {
			return err
		}
		r.sizing.Narrow()
	}
	r.report.Fixed = map[string]int{}
	for _, name := range r.survey.Names {
		s, n := r.Settings(name), r.sizing.Replicas(name)
		r.report.Fixed[name] = n
		if n > s.Max {
			r.report.Advice = append(r.report.Advice, fmt.Sprintf(
				"%s needs %d replicas at its peak for the objective (%g%% of requests within %v), and max is %d: raise max, or the objective's wait",
				name, n, s.WaitAt*100, s.Wait, s.Max))
		}
	}
	return nil
}

// worldsOf makes a world for each policy; the bound needs none.
func (r *run) worldsOf() error {
	for _, name := range r.Policies {
		if name == simulate.NameOracle {
			continue
		}
		c := simulate.Config{
			Settings: r.Settings, Seed: r.Seed, Pool: r.Profile.Pool, Price: r.Profile.Price, Begin: r.survey.Begin,
		}
		var err error
		if c.Family, err = r.family(name); err != nil {
			return err
		}
		for _, f := range r.survey.Names {
			if c.Family.Always(f) > 0 {
				c.Always = append(c.Always, f)
			}
		}
		if r.Timeline != nil {
			c.Timeline = r.Timeline(name)
		}
		r.worlds = append(r.worlds, &world{name: name, World: simulate.New(c)})
	}
	r.begun = true
	return nil
}

func (r *run) family(name string) (simulate.Family, error) {
	switch name {
	case simulate.NamePeak:
		return r.survey.Peak(), nil
	case simulate.NameFixed:
		return r.sizing.Fixed(), nil
	}
	f, err := simulate.Named(name)
	f.Always = func(function string) int { return r.Settings(function).Min } // there before anybody asks
	return f, err
}

// gpusOf is how many GPUs an always-on family holds.
func (r *run) gpusOf(f simulate.Family) float64 {
	n := 0
	for _, name := range r.survey.Names {
		n += f.Always(name) * max(1, r.Settings(name).GPUs)
	}
	return float64(n)
}

func (r *run) arrive(as []simulate.Arrival) error {
	if r.Arrived != nil {
		for _, a := range as {
			r.Arrived(a)
		}
	}
	for _, w := range r.worlds {
		began := cpuTime()
		for _, a := range as {
			if err := w.Arrive(a); err != nil {
				return err
			}
		}
		w.took += cpuTime() - began
	}
	return nil
}

// collect makes the results, in the order of the policies.
func (r *run) collect(result func(*simulate.World) simulate.Result) {
	if !r.begun {
		return
	}
	bound := r.survey.Oracle()
	bound.CostUSD = bound.GPUSeconds / 3600 * r.Profile.Price
	results := map[string]simulate.Result{simulate.NameOracle: bound}
	r.report.Functions = map[string][]simulate.FunctionResult{}
	for _, w := range r.worlds {
		began := cpuTime()
		x := result(w.World)
		w.took += cpuTime() - began
		x.PerSecond = float64(x.Requests) / max(w.took.Seconds(), 1e-9)
		results[w.name] = x
		r.report.Functions[w.name] = w.ByFunction()
	}
	peak, fixed := r.gpusOf(r.survey.Peak()), r.gpusOf(r.sizing.Fixed())
	for _, name := range r.Policies {
		x := results[name]
		x.VsPeak, x.VsFixed = ratio(x.GPUSeconds, peak*x.Seconds), ratio(x.GPUSeconds, fixed*x.Seconds)
		x.VsOracle = ratio(x.GPUSeconds, bound.GPUSeconds)
		if r.report.Cut { // the bound is of the whole trace
			x.VsOracle = 0
		}
		r.report.Results = append(r.report.Results, x)
	}
}

func ratio(a, b float64) float64 {
	if b <= 0 {
		return 0
	}
	return a / b
}

// pass goes through the trace once, in batches.
func (r *run) pass(ctx context.Context, name string, take func([]simulate.Arrival) error) error {
	if r.whole {
		return r.again(ctx, name, take)
	}
	f, err := os.Open(r.Trace)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTrace, err)
	}
	defer func() { _ = f.Close() }()
	size := int64(0)
	if info, err := f.Stat(); err == nil {
		size = info.Size()
	}
	in := &counted{r: f}
	t, err := NewTrace(r.Trace, in)
	if err != nil {
		return err
	}
	buf := make([]simulate.Arrival, 0, batch)
	for more := true; more; {
		if ctx.Err() != nil {
			return errCut
		}
		if buf, more, err = r.read(t, buf[:0]); err != nil {
			return err
		}
		if err := take(buf); err != nil {
			return err
		}
		r.keep(buf, more)
		if r.Progress != nil {
			r.Progress(name, in.n, size)
		}
	}
	return nil
}

// read appends the next batch of requests, and tells if there may be more.
func (r *run) read(t *Trace, buf []simulate.Arrival) ([]simulate.Arrival, bool, error) {
	model := r.Profile.Model()
	for len(buf) < batch {
		req, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return buf, false, nil
		case err != nil:
			return buf, false, err
		}
		buf = append(buf, model.Arrival(req))
	}
	return buf, true, nil
}

// keep remembers the requests of the first pass, unless there are too many.
func (r *run) keep(as []simulate.Arrival, more bool) {
	if r.long = r.long || len(r.kept)+len(as) > maxKept; r.long {
		r.kept = nil
		return
	}
	r.kept = append(r.kept, as...)
	r.whole = !more
}

// again goes through what was kept.
func (r *run) again(ctx context.Context, name string, take func([]simulate.Arrival) error) error {
	for done := 0; done < len(r.kept); {
		if ctx.Err() != nil {
			return errCut
		}
		next := min(done+batch, len(r.kept))
		if err := take(r.kept[done:next]); err != nil {
			return err
		}
		done = next
		if r.Progress != nil {
			r.Progress(name, int64(done), int64(len(r.kept)))
		}
	}
	return nil
}

// counted counts what was read.
type counted struct {
	r io.Reader
	n int64
}

// Read implements [io.Reader].
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
