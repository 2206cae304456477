package simulate

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stoker.dev/stoker/scale/simulate"
)

// write writes a file into a folder of the test's.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// rows is a trace of n requests on two models, a second apart.
func rows(n int) string {
	var b strings.Builder
	b.WriteString("arrival_s,input_tokens,output_tokens,model\n")
	for i := range n {
		fmt.Fprintf(&b, "%d,1000,%d,m%d\n", i, i%200, i%2)
	}
	return b.String()
}

func everyPolicy() []string {
	names := append([]string{"stoker"}, simulate.Hindsight()...)
	for _, f := range simulate.Baselines() {
		names = append(names, f.Name)
	}
	return names
}

func TestRun(t *testing.T) {
	p, err := ParseProfile("p.yaml", []byte("slots: 2\nwaitSLO: {p99: 5s}\n"))
	if err != nil {
		t.Fatal(err)
	}
	trace := write(t, "t.csv", rows(3000))
	report, err := Run(context.Background(), Options{Trace: trace, Profile: p, Policies: everyPolicy(), Seed: 1})
	if err != nil || report.Cut || len(report.Results) != len(everyPolicy()) {
		t.Fatalf("%+v, %v", report, err)
	}
	for i, r := range report.Results {
		if r.Policy != everyPolicy()[i] || r.Requests != 3000 || r.Functions != 2 || r.CostUSD <= 0 || r.VsOracle < 1 || r.VsPeak <= 0 || r.VsFixed < r.VsPeak {
			t.Errorf("%d: %+v", i, r)
		}
		if r.Policy == simulate.NamePeak && !near(r.VsPeak) || r.Policy == simulate.NameFixed && !near(r.VsFixed) || r.Policy == simulate.NameOracle && r.VsOracle != 1 {
			t.Errorf("against itself: %+v", r)
		}
	}
}

func near(ratio float64) bool { return math.Abs(ratio-1) < 1e-9 }

// TestMinimumIsThereFromTheBeginning: the first request waits for no start where a replica is always on.
func TestMinimumIsThereFromTheBeginning(t *testing.T) {
	p, err := ParseProfile("p.yaml", []byte("slots: 8\nmin: 1\nwaitSLO: {p99: 5s}\n"))
	if err != nil {
		t.Fatal(err)
	}
	report, err := Run(context.Background(), Options{Trace: write(t, "t.csv", rows(20)), Profile: p, Policies: []string{"stoker"}})
	if err != nil || report.Results[0].ColdRate != 0 || report.Results[0].Attainment != 1 || report.Results[0].ColdStarts != 2 {
		t.Errorf("%+v, %v", report.Results, err)
	}
}

// TestInterrupted: what is done so far is told, for the policies and not for the bound.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o := Options{Trace: write(t, "t.csv", rows(5*batch)), Profile: DefaultProfile(), Policies: []string{"stoker", "timer-60s"}}
	o.Progress = func(pass string, _, _ int64) {
		if pass == "simulate" {
			cancel()
		}
	}
	report, err := Run(ctx, o)
	if err != nil || !report.Cut || len(report.Results) != 2 {
		t.Fatalf("%+v, %v", report, err)
	}
	for _, r := range report.Results {
		if r.Requests == 0 || r.Requests >= 5*batch || r.GPUSeconds == 0 || r.VsOracle != 0 {
			t.Errorf("%+v, want a part of the trace", r)
		}
	}
	o.Progress = func(string, int64, int64) {}
	report, err = Run(ctx, o)
	if err != nil || !report.Cut || report.Results != nil {
		t.Errorf("before the simulation began: %+v, %v", report, err)
	}
}

func TestBadRuns(t *testing.T) {
	o := Options{Trace: filepath.Join(t.TempDir(), "none.csv"), Profile: DefaultProfile(), Policies: []string{"stoker"}}
	if _, err := Run(context.Background(), o); !errors.Is(err, ErrTrace) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	o.Trace = write(t, "t.csv", rows(10)+"3,1,1,m0\n")
	if _, err := Run(context.Background(), o); !errors.Is(err, ErrTrace) || !strings.Contains(err.Error(), ":12:1: arrival_s") {
		t.Errorf("unsorted: %v", err)
	}
}

// TestAdvice: a profile that cannot meet its objective is told so, with what would.
func TestAdvice(t *testing.T) {
	p, err := ParseProfile("p.yaml", []byte("max: 2\nwaitSLO: {p99: 1s}\nservice: {base: 10s}\n"))
	if err != nil {
		t.Fatal(err)
	}
	report, err := Run(context.Background(), Options{Trace: write(t, "t.csv", rows(2000)), Profile: p, Policies: []string{"peak"}})
	if err != nil || len(report.Advice) != 2 || !strings.Contains(report.Advice[0], "m0 needs 7 replicas") || !strings.Contains(report.Advice[0], "max is 2: raise max") {
		t.Errorf("%q, %v", report.Advice, err)
	}
}

// TestMissedObjective: who is late too often is told, with what meets the objective; who is in time is told nothing.
func TestMissedObjective(t *testing.T) {
	for text, want := range map[string]string{
		"coldStart: {constant: 1h}\nwaitSLO: {p99: 1s}\n": "whose starts take 1h0m0s on average and whose requests may wait 1s: min ",
		"coldStart: {constant: 1s}\nwaitSLO: {p99: 1h}\n": "",
	} {
		p, err := ParseProfile("p.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		report, err := Run(context.Background(), Options{Trace: write(t, "t.csv", rows(2000)), Profile: p, Policies: []string{"stoker"}})
		if told := strings.Join(report.Advice, "\n"); err != nil || want == "" && told != "" || !strings.Contains(told, want) {
			t.Errorf("%s: %q, %v", text, told, err)
		}
	}
}

// TestKeptOrReadAnew: a trace that is too long to keep comes to the same figures.
func TestKeptOrReadAnew(t *testing.T) {
	o := Options{Trace: write(t, "t.csv", rows(3*batch)), Profile: DefaultProfile(), Policies: []string{"stoker", "fixed", "oracle"}}
	o.Profile, _ = ParseProfile("p", nil)
	o.Settings = o.Profile.Settings
	kept, anew := &run{Options: o}, &run{Options: o, long: true}
	if err := errors.Join(kept.all(context.Background()), anew.all(context.Background())); err != nil {
		t.Fatal(err)
	}
	if !kept.whole || anew.whole || len(kept.kept) != 3*batch || len(anew.kept) != 0 {
		t.Errorf("kept %d and %d requests", len(kept.kept), len(anew.kept))
	}
	for i, r := range kept.report.Results {
		other := anew.report.Results[i]
		if r.PerSecond, other.PerSecond = 0, 0; r != other {
			t.Errorf("%+v, read anew %+v", r, other)
		}
	}
}

func TestTimelineFiles(t *testing.T) {
	dir := t.TempDir()
	names := []string{"stoker", "oracle", "timer-5s"}
	files := NewTimelines(filepath.Join(dir, "out.csv"), names)
	o := Options{Trace: write(t, "t.csv", "arrival_s,exec_s,model\n0.5,2,\"a,\"\"b\"\n"), Profile: DefaultProfile(), Policies: names, Timeline: files.Of}
	o.Profile, _ = ParseProfile("p", nil)
	report, err := Run(context.Background(), o)
	if err := errors.Join(err, files.Close()); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "out.timer-5s.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	got, err := csv.NewReader(f).ReadAll()
	want := []string{"0.5", `a,"b`, "0", "0", "1", "1", "0", "0"}
	if err != nil || len(got) < 4 || strings.Join(got[0][:6], ",") != "t,function,hot,asleep,starting,queued" || strings.Join(got[1], "|") != strings.Join(want, "|") {
		t.Errorf("%q, %v; %+v", got, err, report)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 2 {
		t.Errorf("files %q, want two: the bound has none", left)
	}
}

// recorded are the traces of the evaluation, which are not part of the repository.
const recorded = "../../../../shared/traces"

// recordedFile is one of them.
func recordedFile(t testing.TB, name string) string {
	t.Helper()
	file := filepath.Join(recorded, name)
	if _, err := os.Stat(file); err != nil {
		t.Skipf("the recorded trace %s is not on this machine", name)
	}
	return file
}

func recordedTrace(t testing.TB, name string) Options {
	t.Helper()
	trace := recordedFile(t, name+".csv.gz")
	p, err := ReadProfile(filepath.Join("../../../deploy/profiles", name+".yaml"), trace)
	if err != nil {
		t.Fatal(err)
	}
	return Options{Trace: trace, Profile: p, Policies: []string{"stoker"}, Seed: 1}
}

// TestBeatOnRecordedTraces: looking once a second, as production does, or at every event:
// the figures are nearly the same.
func TestBeatOnRecordedTraces(t *testing.T) {
	for _, name := range []string{"inf_azure2023_code", "inf_mooncake_conv_h1"} {
		t.Run(name, func(t *testing.T) {
			o := recordedTrace(t, name)
			var got []simulate.Result
			for _, beat := range []bool{true, false} {
				f := simulate.Stoker()
				if !beat {
					f.Beat = 0
				}
				w := simulate.New(simulate.Config{Family: f, Settings: o.Profile.Settings, Seed: 1})
				r := &run{Options: o}
				err := r.pass(context.Background(), "", func(as []simulate.Arrival) error {
					for _, a := range as {
						if err := w.Arrive(a); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, w.Result())
			}
			if math.Abs(got[0].GPUSeconds/got[1].GPUSeconds-1) > 0.04 || math.Abs(got[0].Attainment-got[1].Attainment) > 0.01 {
				t.Errorf("by the beat %+v\nat every event %+v", got[0], got[1])
			}
		})
	}
}

// TestRecordedTraces: every recorded trace can be simulated with its profile.
func TestRecordedTraces(t *testing.T) {
	for name, want := range map[string]int{"inf_azure2023_code": 8819, "inf_mooncake_conv_h1": 5719, "inf_gentd26_multimodel": 14173} {
		t.Run(name, func(t *testing.T) {
			report, err := Run(context.Background(), recordedTrace(t, name))
			if err != nil || len(report.Results) != 1 || report.Results[0].Requests != want || report.Results[0].Unserved != 0 {
				t.Errorf("%+v, %v", report, err)
			}
		})
	}
}

// BenchmarkRecordedFlash is the whole command on the flash trace: reading it three times and
// more, and the policy. Requests per second are what the policy alone takes, by CPU time.
func BenchmarkRecordedFlash(b *testing.B) {
	o := recordedTrace(b, "inf_servegen_flash14d")
	rate, began := 0.0, cpuTime()
	for b.Loop() {
		report, err := Run(context.Background(), o)
		if err != nil {
			b.Fatal(err)
		}
		rate = max(rate, report.Results[0].PerSecond)
	}
	b.ReportMetric(rate, "requests/s/core")
	b.ReportMetric((cpuTime()-began).Seconds()/float64(b.N), "cpu-s/op")
}
