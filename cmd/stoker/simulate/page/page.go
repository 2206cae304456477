package page

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"stoker.dev/stoker/cmd/stoker/simulate"
	policies "stoker.dev/stoker/scale/simulate"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

//go:embed echarts/echarts.common.min.js
var echartsJS string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"whole": whole, "comma": func(n int) string { return whole(float64(n)) }, "percent": percent, "ms": ms, "usd": usd, "ratio": ratio, "share": share,
}).Parse(pageHTML))

// Run is what the page tells beside the figures and what the recorder kept.
type Run struct {
	Trace    string // as the reader calls it
	Settings func(function string) policies.Settings
	Price    float64 // USD per GPU-hour
	Pool     int     // GPUs there are; 0: no bound
	Seed     uint64
}

// view is what the template shows.
type view struct {
	Run
	Report    simulate.Report
	First     policies.Result // the policy that is shown first
	Requests  int
	Functions int
	Span      string
	Facts     []fact
	Objective objective
	Rows      []tableRow
	CSS       template.CSS
	JS, Chart template.JS
	Data      data
}

// fact is one of the settings, in words.
type fact struct{ Name, Value string }

// objective is what all functions share; not Known where they differ.
type objective struct {
	Known bool
	Share float64 // of requests
	Wait  time.Duration
}

func (o objective) String() string {
	if !o.Known {
		return "each function's own objective"
	}
	return fmt.Sprintf("%s of requests begin within %v", percent(o.Share), o.Wait)
}

type tableRow struct {
	policies.Result
	Bound, Meets bool
}

// Write writes the page. What the functions and policies are called comes from outside and is
// shown as text, never as HTML.
func Write(w io.Writer, run Run, report simulate.Report, recorded *Recorder) error {
	v := view{
		Run: run, Report: report,
		CSS: template.CSS(pageCSS), JS: template.JS(pageJS), Chart: template.JS(echartsJS), //nolint:gosec // our own files
	}
	if len(report.Results) > 0 {
		v.First = report.Results[0]
		v.Requests, v.Functions = v.First.Requests, v.First.Functions
		v.Span = span(v.First.Seconds)
	}
	v.describe()
	for _, r := range report.Results {
		v.Rows = append(v.Rows, tableRow{Result: r, Bound: r.Policy == policies.NameOracle, Meets: v.Objective.Known && r.Attainment >= v.Objective.Share})
	}
	v.Data = v.charts(recorded)
	return pageTemplate.Execute(w, v)
}

// describe puts the settings into words where all functions share them.
func (v *view) describe() {
	var all []policies.Settings
	for _, fs := range v.Report.Functions {
		for _, f := range fs {
			all = append(all, v.Settings(f.Function))
		}
		break
	}
	v.Facts = append(v.Facts, fact{"price", fmt.Sprintf("$%.2f per GPU-hour", v.Price)}, fact{"seed", fmt.Sprint(v.Seed)})
	if v.Pool > 0 {
		v.Facts = append(v.Facts, fact{"pool", fmt.Sprintf("%d GPUs for all functions", v.Pool)})
	}
	if len(all) == 0 {
		return
	}
	same := func(a policies.Settings) bool { return reflect.DeepEqual(a.Spec, all[0].Spec) }
	if slices.ContainsFunc(all, func(s policies.Settings) bool { return !same(s) }) {
		v.Facts = append(v.Facts, fact{"settings", "they differ by function; see the manifests"})
		return
	}
	s := all[0]
	v.Objective = objective{Known: true, Share: s.WaitAt, Wait: s.Wait}
	v.Facts = append([]fact{
		{"slots per replica", fmt.Sprint(s.Slots)}, {"GPUs per replica", fmt.Sprint(s.GPUs)},
		{"cold start", fmt.Sprintf("%v on average", s.ColdStart.Mean().Round(100*time.Millisecond))},
		{"replicas of a function", fmt.Sprintf("%d to %d", s.Min, s.Max)},
	}, v.Facts...)
}

func whole(x float64) string {
	s := fmt.Sprintf("%.0f", x)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// percent keeps the digits that tell 99.95 % from 100 %.
func percent(x float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.2f", math.Floor(x*1e4+0.5)/100), ".00") + " %"
}

func ms(x float64) string  { return fmt.Sprintf("%.2f s", x/1000) }
func usd(x float64) string { return "$" + decimals(x) }

func decimals(x float64) string {
	if x >= 1000 {
		return whole(x)
	}
	return fmt.Sprintf("%.2f", x)
}

func ratio(x float64) string {
	if x == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f ×", x)
}

// share is a part of a whole in percent, for the width of a bar.
func share(part, of float64) string {
	if of <= 0 {
		return "0"
	}
	return fmt.Sprintf("%.2f", 100*part/of)
}

// span puts a length of time into words.
func span(seconds float64) string {
	switch {
	case seconds < 120:
		return fmt.Sprintf("%.0f seconds", seconds)
	case seconds < 2*3600:
		return fmt.Sprintf("%.0f minutes", seconds/60)
	case seconds < 2*86400:
		return fmt.Sprintf("%.1f hours", seconds/3600)
	}
	return fmt.Sprintf("%.1f days", seconds/86400)
}
