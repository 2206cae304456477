package simulate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/simulate"
)

// Defaults of a profile.
const (
	// DefaultMax bounds the replicas of a function where the profile does not: above any
	// need of one model, so that it is the policy that decides.
	DefaultMax = 100
	// DefaultPrice is the USD of a GPU-hour: about what an H100 costs on demand.
	DefaultPrice = 2.50
	// The default service time: 0.2 s, a second for 10,000 tokens read, one for 50 written.
	DefaultServiceBase      = 200 * time.Millisecond
	DefaultServicePerInput  = 100 * time.Microsecond
	DefaultServicePerOutput = 20 * time.Millisecond
)

// maxProfile bounds a profile's size, bytes: it is a screenful.
const maxProfile = 64 << 10

// Profile is what a simulation needs to know beside the trace.
type Profile struct {
	Slots     int                 `yaml:"slots"`     // requests a replica takes at a time, default 1
	GPUs      int                 `yaml:"gpus"`      // per replica, default 1
	Min       int                 `yaml:"min"`       // replicas of a function, default 0
	Max       int                 `yaml:"max"`       // replicas of a function, default 100
	Pool      int                 `yaml:"pool"`      // GPUs there are for all functions; 0, the default: no bound
	KeepAlive functions.KeepAlive `yaml:"keepAlive"` // default auto
	WaitSLO   waitSLO             `yaml:"waitSLO"`   // default p99: 10s
	Service   serviceTime         `yaml:"service"`
	ColdStart coldStart           `yaml:"coldStart"` // default constant: 20s
	Price     float64             `yaml:"price"`     // USD per GPU-hour, default 2.50
}

// waitSLO is the objective: exactly one percentile.
type waitSLO struct {
	P50 span `yaml:"p50"`
	P95 span `yaml:"p95"`
	P99 span `yaml:"p99"`
}

// serviceTime is how long a request occupies its slot, where the trace has no exec_s.
type serviceTime struct {
	Base           span `yaml:"base"`
	PerInputToken  span `yaml:"perInputToken"`
	PerOutputToken span `yaml:"perOutputToken"`
	Ignore         bool `yaml:"ignoreMeasured"` // the model counts even where the trace has exec_s
}

// coldStart is the time from start to ready: one of the three.
type coldStart struct {
	Constant  span            `yaml:"constant"`
	Quantiles map[string]span `yaml:"quantiles"` // share (0.5, 0.99 …) to time
	File      string          `yaml:"file"`      // JSON of measured quantiles, beside the profile or the trace
	Name      string          `yaml:"name"`      // which of the file's

	drawn simulate.ColdStart
}

// span is a duration that says where it stands when it is none.
type span functions.Duration

// D converts to the standard library's type.
func (s span) D() time.Duration { return time.Duration(s) }

// UnmarshalYAML implements [yaml.Unmarshaler].
func (s *span) UnmarshalYAML(n *yaml.Node) error {
	if err := (*functions.Duration)(s).UnmarshalText([]byte(n.Value)); err != nil || n.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: %q is no duration; want numbers with units such as 2s or 1m30s", n.Line, clip(n.Value))
	}
	return nil
}

// DefaultProfile is what counts where a profile is silent.
func DefaultProfile() Profile {
	return Profile{
		Slots: 1, GPUs: 1, Max: DefaultMax, KeepAlive: functions.KeepAliveAuto, Price: DefaultPrice,
		Service: serviceTime{
			Base:           span(DefaultServiceBase),
			PerInputToken:  span(DefaultServicePerInput),
			PerOutputToken: span(DefaultServicePerOutput),
		},
	}
}

// ReadProfile reads a profile file. Files it names are looked for beside it, then beside the
// trace. Errors match ErrProfile and list everything that is wrong, by line.
func ReadProfile(file, trace string) (Profile, error) {
	f, err := os.Open(file)
	if err != nil {
		return Profile{}, fmt.Errorf("%w: %w", ErrProfile, err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxProfile+1))
	switch {
	case err != nil:
		return Profile{}, fmt.Errorf("%w: %w", ErrProfile, err)
	case len(data) > maxProfile:
		return Profile{}, fmt.Errorf("%w: %s: larger than %d KiB; a profile is a screenful", ErrProfile, file, maxProfile>>10)
	}
	p, err := ParseProfile(file, data)
	if err != nil || p.ColdStart.File == "" {
		return p, err
	}
	return p, p.ColdStart.load([]string{filepath.Dir(file), filepath.Dir(trace)})
}

// ParseProfile reads a profile, strictly: a field it does not know, one given twice or a
// value that is not allowed is an error that names its line. A file of quantiles is not
// opened.
func ParseProfile(file string, data []byte) (Profile, error) {
	p := DefaultProfile()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	err := dec.Decode(&p)
	if err != nil && !errors.Is(err, io.EOF) {
		return Profile{}, fmt.Errorf("%w: %s: %s", ErrProfile, file, plain(err))
	}
	if err == nil && !errors.Is(dec.Decode(new(any)), io.EOF) {
		return Profile{}, fmt.Errorf("%w: %s: more than one document; want one", ErrProfile, file)
	}
	var root yaml.Node
	_ = yaml.Unmarshal(data, &root) // it could be read above
	if faults := p.complete(); len(faults) > 0 {
		texts := make([]string, len(faults))
		for i, x := range faults {
			texts[i] = fmt.Sprintf("%s:%d: %s: %s; want %s", file, lineOf(&root, x.path), strings.Join(x.path, "."), x.value, x.want)
		}
		return Profile{}, fmt.Errorf("%w: %s", ErrProfile, strings.Join(texts, "\n"))
	}
	return p, nil
}

var inType = regexp.MustCompile(` (not found )?in type [\w.]+`)

// ofType finds what a YAML error says of a value of another type; wanted is what to write in place of Go's types.
var (
	ofType = regexp.MustCompile(`cannot unmarshal !!\w+(.*) into (?:simulate\.)?(\w+)`)
	wanted = map[string]string{
		"coldStart":   "one of {constant: 20s}, {quantiles: {0.5: 20s, 0.99: 40s}} and {file: FILE, name: NAME}",
		"waitSLO":     "one of {p50: 2s}, {p95: 5s} and {p99: 30s}",
		"serviceTime": "some of {base: 200ms, perInputToken: 100us, perOutputToken: 20ms}",
		"int":         "a whole number",
		"float64":     "a number",
	}
)

// plain takes Go's types out of a YAML error.
func plain(err error) string {
	s := strings.TrimPrefix(err.Error(), "yaml: ")
	s = strings.ReplaceAll(s, "unmarshal errors:\n  ", "")
	s = ofType.ReplaceAllStringFunc(s, func(text string) string {
		m := ofType.FindStringSubmatch(text)
		if want, ok := wanted[m[2]]; ok {
			return strings.TrimSpace(m[1]+" cannot stand here") + "; want " + want
		}
		return text
	})
	return inType.ReplaceAllString(s, " is not known")
}

// lineOf is the line of a path, or of the nearest thing around it.
func lineOf(n *yaml.Node, path []string) int {
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	for i := 0; len(path) > 0 && n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if key := n.Content[i]; key.Value == path[0] {
			if len(path) == 1 {
				return key.Line
			}
			return max(key.Line, lineOf(n.Content[i+1], path[1:]))
		}
	}
	return max(1, n.Line)
}

// fault is a value that is not allowed.
type fault struct {
	path        []string
	value, want string
}

// complete fills what depends on other fields, and checks everything.
func (p *Profile) complete() []fault {
	var out []fault
	whole := func(name string, v, lo, hi int) {
		if v < lo || v > hi {
			out = append(out, fault{[]string{name}, strconv.Itoa(v), fmt.Sprintf("%d to %d", lo, hi)})
		}
	}
	whole("slots", p.Slots, 1, scale.MaxSlots)
	whole("gpus", p.GPUs, 1, 1024)
	whole("max", p.Max, 1, scale.MaxReplicas)
	whole("min", p.Min, 0, max(p.Max, 1))
	whole("pool", p.Pool, 0, scale.MaxReplicas)
	if !(p.Price >= 0 && p.Price <= 1e6) {
		out = append(out, fault{[]string{"price"}, fmt.Sprint(p.Price), "USD per GPU-hour, 0 to 1,000,000"})
	}
	if k := p.KeepAlive; !k.Auto() {
		if err := new(functions.Duration).UnmarshalText([]byte(k)); err != nil {
			out = append(out, fault{[]string{"keepAlive"}, strconv.Quote(string(k)), "auto, or a duration such as 10m"})
		}
	}
	return append(append(out, p.WaitSLO.complete()...), p.ColdStart.complete()...)
}

// defaultWait is the objective of a profile without one.
const defaultWait = 10 * time.Second

func (w *waitSLO) complete() []fault {
	given := 0
	for _, d := range []span{w.P50, w.P95, w.P99} {
		if d > 0 {
			given++
		}
	}
	switch given {
	case 0:
		w.P99 = span(defaultWait)
	case 1:
	default:
		return []fault{{[]string{"waitSLO"}, strconv.Itoa(given) + " percentiles", "one of p50, p95, p99"}}
	}
	return nil
}

// Target is the share of requests and the wait that they may have.
func (w waitSLO) Target() (share float64, wait time.Duration) {
	return functions.WaitSLO{P50: functions.Duration(w.P50), P95: functions.Duration(w.P95), P99: functions.Duration(w.P99)}.Target()
}

func (c *coldStart) complete() []fault {
	given := 0
	for _, is := range []bool{c.Constant > 0, len(c.Quantiles) > 0, c.File != ""} {
		if is {
			given++
		}
	}
	switch {
	case given > 1:
		return []fault{{[]string{"coldStart"}, strconv.Itoa(given) + " of them", "one of constant, quantiles, file"}}
	case c.Name != "" && c.File == "":
		return []fault{{[]string{"coldStart", "name"}, strconv.Quote(c.Name), "it beside file alone"}}
	case len(c.Quantiles) > 0:
		return c.readQuantiles()
	case c.File == "":
		if c.Constant == 0 {
			c.Constant = span(scale.DefaultColdStart)
		}
		c.drawn = simulate.ColdStart{{P: 0.5, At: c.Constant.D()}}
	}
	return nil
}

func (c *coldStart) readQuantiles() []fault {
	for text, at := range c.Quantiles {
		p, err := strconv.ParseFloat(text, 64)
		if err != nil || !(p >= 0 && p <= 1) {
			return []fault{{[]string{"coldStart", "quantiles", text}, strconv.Quote(text), "shares from 0 to 1, such as 0.5: 20s"}}
		}
		c.drawn = append(c.drawn, simulate.Quantile{P: p, At: at.D()})
	}
	return c.check([]string{"coldStart", "quantiles"})
}

// check sorts the quantiles, which must not fall.
func (c *coldStart) check(path []string) []fault {
	slices.SortFunc(c.drawn, func(a, b simulate.Quantile) int {
		return int(math.Copysign(1, a.P-b.P))
	})
	for i := 1; i < len(c.drawn); i++ {
		if a, b := c.drawn[i-1], c.drawn[i]; a.P == b.P || a.At > b.At {
			return []fault{{path, fmt.Sprintf("%v at %g after %v at %g", b.At, b.P, a.At, a.P), "times that rise with the shares, each share once"}}
		}
	}
	return nil
}

// measured is one entry of a file of measured quantiles: percentile to milliseconds.
type measured struct {
	Quantiles map[string]float64 `json:"ms_quantiles"`
}

// load reads a file of measured quantiles from the first folder that has it.
func (c *coldStart) load(folders []string) error {
	data, path, err := readBeside(c.File, folders)
	if err != nil {
		return fmt.Errorf("%w: coldStart.file: %w", ErrProfile, err)
	}
	var all map[string]measured
	if err := json.Unmarshal(data, &all); err != nil {
		return fmt.Errorf("%w: %s: %w; want JSON such as {\"name\": {\"ms_quantiles\": {\"50\": 20000}}}", ErrProfile, path, err)
	}
	names := make([]string, 0, len(all))
	for n := range all {
		names = append(names, n)
	}
	slices.Sort(names)
	m, there := all[c.Name]
	if !there || len(m.Quantiles) == 0 {
		return fmt.Errorf("%w: %s has no quantiles named %q (coldStart.name); want one of %s", ErrProfile, path, c.Name, strings.Join(names, ", "))
	}
	for text, ms := range m.Quantiles {
		p, err := strconv.ParseFloat(text, 64)
		if err != nil || !(p >= 0 && p <= 100) || !(ms >= 0 && ms <= maxColdMS) {
			return fmt.Errorf("%w: %s: %s: %q: %g; want percentiles 0 to 100 with milliseconds up to %g", ErrProfile, path, c.Name, text, ms, maxColdMS)
		}
		c.drawn = append(c.drawn, simulate.Quantile{P: p / 100, At: time.Duration(ms * float64(time.Millisecond))})
	}
	if faults := c.check(nil); len(faults) > 0 {
		return fmt.Errorf("%w: %s: %s: %s; want %s", ErrProfile, path, c.Name, faults[0].value, faults[0].want)
	}
	return nil
}

// maxColdMS bounds a cold start, milliseconds: a day.
const maxColdMS = 86400e3

// readBeside reads a file from the first folder that has it.
func readBeside(file string, folders []string) ([]byte, string, error) {
	if filepath.IsAbs(file) {
		folders = []string{""}
	}
	var err error
	for _, folder := range folders {
		path := filepath.Join(folder, file)
		data, e := os.ReadFile(path)
		if e == nil {
			return data, path, nil
		}
		err = errors.Join(err, e)
	}
	return nil, "", err
}

// Settings are those of every function.
func (p Profile) Settings(string) simulate.Settings {
	share, wait := p.WaitSLO.Target()
	spec := scale.Spec{
		Min: p.Min, Max: p.Max, Slots: p.Slots, Wait: wait, WaitAt: share, KeepAlive: scale.AutoKeepAlive, GPUs: p.GPUs,
	}
	if !p.KeepAlive.Auto() {
		spec.KeepAlive = p.KeepAlive.D()
	}
	return simulate.Settings{Spec: spec, ColdStart: p.ColdStart.drawn}
}

// Model is its service time.
func (p Profile) Model() simulate.ServiceModel {
	return simulate.ServiceModel{
		Base: p.Service.Base.D(), PerInput: p.Service.PerInputToken.D(), PerOutput: p.Service.PerOutputToken.D(),
		Measured: !p.Service.Ignore,
	}
}
