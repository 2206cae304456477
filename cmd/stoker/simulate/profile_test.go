package simulate

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestProfileDefaults(t *testing.T) {
	p, err := ParseProfile("p.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := p.Settings("any")
	if s.Slots != 1 || s.Max != DefaultMax || s.Wait != 10*time.Second || s.WaitAt != 0.99 || s.ColdStart.Mean() != 20*time.Second || s.GPUs != 1 || s.KeepAlive >= 0 {
		t.Errorf("defaults: %+v", s)
	}
}

func TestProfile(t *testing.T) {
	p, err := ParseProfile("p.yaml", []byte(`
slots: 8
gpus: 2
min: 1
max: 4
pool: 16
keepAlive: 90s
price: 1.5
waitSLO: {p95: 3s}
service: {base: 1s, perInputToken: 1ms, perOutputToken: 0s}
coldStart: {quantiles: {"0.9": 40s, "0.1": 10s}}
`))
	if err != nil {
		t.Fatal(err)
	}
	s := p.Settings("any")
	if s.Slots != 8 || s.GPUs != 2 || s.Min != 1 || s.Max != 4 || s.KeepAlive != 90*time.Second || s.Wait != 3*time.Second || s.WaitAt != 0.95 ||
		p.Pool != 16 || p.Price != 1.5 || s.ColdStart.At(0.5).Round(time.Second) != 25*time.Second || p.Model().PerOutput != 0 || p.Model().Base != time.Second {
		t.Errorf("%+v %+v", p, s)
	}
}

// TestBadProfiles: every message names file, line and what is wanted.
func TestBadProfiles(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown field": {"slots: 8\nslotz: 9\n", "p.yaml: line 2: field slotz is not known"},
		"no mapping":    {"slots: 8\ncoldStart: 20s\n", "p.yaml: line 2: `20s` cannot stand here; want one of {constant: 20s}"},
		"no number":     {"slots: many\n", "p.yaml: line 1: `many` cannot stand here; want a whole number"},
		"twice":         {"slots: 8\nslots: 9\n", "p.yaml: line 2: mapping key \"slots\" already defined"},
		"zero":          {"max: 4\nslots: 0\n", "p.yaml:2: slots: 0; want 1 to"},
		"type":          {"slots: many\n", "p.yaml: line 1"},
		"min over max":  {"min: 5\nmax: 4\n", "p.yaml:1: min: 5; want 0 to 4"},
		"no unit":       {"waitSLO:\n  p99: 5\n", "p.yaml: line 2"},
		"two limits":    {"waitSLO:\n  p99: 5s\n  p50: 1s\n", "p.yaml:1: waitSLO: 2 percentiles; want one of"},
		"keep-alive":    {"keepAlive: long\n", "p.yaml:1: keepAlive: \"long\"; want auto"},
		"price":         {"slots: 1\nprice: .nan\n", "p.yaml:2: price: NaN"},
		"two colds":     {"coldStart: {constant: 3s, file: x.json}\n", "p.yaml:1: coldStart: 2 of them"},
		"falling":       {"coldStart:\n  quantiles: {\"0.5\": 10s, \"0.9\": 5s}\n", "p.yaml:2: coldStart.quantiles"},
		"share":         {"coldStart:\n  quantiles:\n    \"50\": 10s\n", "p.yaml:3: coldStart.quantiles.50"},
		"name alone":    {"coldStart: {name: x}\n", "p.yaml:1: coldStart.name"},
		"two documents": {"slots: 1\n---\nslots: 2\n", "p.yaml: more than one document"},
		"no YAML":       {"a: [", "p.yaml"},
		"two at once":   {"slots: 0\nmax: -1\n", "p.yaml:2: max: -1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseProfile("p.yaml", []byte(c.text))
			if !errors.Is(err, ErrProfile) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\nwant ErrProfile with %s", err, c.want)
			}
		})
	}
}

// TestMeasuredQuantiles are read beside the profile first, then beside the trace.
func TestMeasuredQuantiles(t *testing.T) {
	dir, traces := t.TempDir(), t.TempDir()
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	profile := filepath.Join(dir, "p.yaml")
	write(profile, "coldStart: {file: q.json, name: base}\n")
	trace := filepath.Join(traces, "t.csv")
	if _, err := ReadProfile(profile, trace); !errors.Is(err, ErrProfile) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	write(filepath.Join(traces, "q.json"), `{"base": {"n": 3, "ms_quantiles": {"50": 20000, "1": 1500.5, "99": 50000}}}`)
	p, err := ReadProfile(profile, trace)
	if err != nil || p.Settings("").ColdStart.At(0.5) != 20*time.Second || p.Settings("").ColdStart.At(0) != 1500500*time.Microsecond {
		t.Errorf("beside the trace: %+v, %v", p.ColdStart, err)
	}
	for text, want := range map[string]string{
		`{"other": {"ms_quantiles": {"50": 1}}}`:         `no quantiles named "base" (coldStart.name); want one of other`,
		`{"base": {"ms_quantiles": {"150": 1}}}`:         `"150"`,
		`{"base": {"ms_quantiles": {"50": -1}}}`:         "-1",
		`{"base": {"ms_quantiles": {"50": 9, "90": 1}}}`: "times that rise",
		`[`: "want JSON such as",
	} {
		write(filepath.Join(dir, "q.json"), text)
		if _, err := ReadProfile(profile, trace); !errors.Is(err, ErrProfile) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", text, err, want)
		}
	}
}

// TestShippedProfiles: each file of deploy/profiles can be read.
func TestShippedProfiles(t *testing.T) {
	files, err := filepath.Glob("../../../deploy/profiles/*.yaml")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d profiles, %v", len(files), err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseProfile(f, data); err != nil {
			t.Error(err)
		}
	}
}

func FuzzProfile(f *testing.F) {
	f.Add([]byte("slots: 8\nwaitSLO: {p99: 5s}\ncoldStart: {quantiles: {\"0.5\": 2s}}\n"))
	f.Add([]byte("coldStart: {file: x, name: y}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParseProfile("p.yaml", data)
		switch {
		case err != nil && (!errors.Is(err, ErrProfile) || !strings.Contains(err.Error(), "p.yaml")):
			t.Fatalf("%v, want ErrProfile with the file's name", err)
		case err == nil && (p.Slots < 1 || p.Max < 1 || p.Min > p.Max || p.Settings("").Wait <= 0):
			t.Fatalf("accepted %+v", p)
		}
	})
}
