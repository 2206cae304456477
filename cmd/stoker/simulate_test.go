package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// trace is three bursts on one model.
const traceText = "arrival_s,input_tokens,output_tokens\n0,1000,50\n0.5,1000,50\n1,1000,50\n400,1000,50\n400.1,1000,50\n900,1000,50\n"

func TestSimulate(t *testing.T) {
	trace, profile := manifest(t, "trace.csv", traceText), manifest(t, "profile.yaml", "slots: 2\nwaitSLO: {p99: 30s}\n")
	got := stoker(t, "", "simulate", "--trace", trace, "--profile", profile, "--baselines")
	for _, want := range []string{"POLICY", "stoker", "timer-0s", "timer-1200s", "knative", "keda", "hybrid-histogram", "peak", "fixed", "oracle", "a second per core"} {
		if got.code != 0 || !strings.Contains(got.out, want) {
			t.Errorf("%s is missing: %+v", want, got)
		}
	}
	timeline := filepath.Join(t.TempDir(), "out.csv")
	got = stoker(t, "", "simulate", "--trace", trace, "--manifest", manifest(t, "f.yaml", manifestText), "--policy", "stoker", "--policy", "timer-45s", "--json", "--timeline", timeline)
	var results []map[string]any
	if err := json.Unmarshal([]byte(got.out), &results); err != nil || got.code != 0 || len(results) != 2 || results[1]["policy"] != "timer-45s" {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, field := range strings.Fields("policy gpu_seconds useful cold idle cost_usd cold_start_rate cold_start_rate_p75 wait_ms slo_attainment vs_peak vs_fixed vs_oracle decisions") {
		if _, there := results[0][field]; !there {
			t.Errorf("field %s is missing in %v", field, results[0])
		}
	}
	if data, err := os.ReadFile(timeline); err != nil || !strings.HasPrefix(string(data), "t,function,hot,asleep,starting,queued") {
		t.Errorf("timeline: %q, %v", data, err)
	}
}

func TestSimulateDraws(t *testing.T) {
	trace, page, timeline := manifest(t, "trace.csv", traceText), filepath.Join(t.TempDir(), "r.html"), filepath.Join(t.TempDir(), "out.csv")
	got := stoker(t, "", "simulate", "--trace", trace, "--baselines", "--html", page, "--timeline", timeline)
	text, err := os.ReadFile(page)
	if err != nil || got.code != 0 || !strings.Contains(string(text), "<th>hybrid-histogram</th>") {
		t.Errorf("%+v, %v", got, err)
	}
	if rows, err := os.ReadFile(timeline); err != nil || strings.Count(string(rows), "\n") < 4 {
		t.Errorf("the timeline beside it: %q, %v", rows, err)
	}
}

func TestSimulateRefuses(t *testing.T) {
	trace := manifest(t, "trace.csv", traceText)
	for _, c := range []struct {
		args string
		code int
		err  string
	}{
		{"", exitUsage, "--trace: name a CSV file"},
		{"--trace " + trace + " --policy best", exitUsage, `no such policy: "best"; allowed: stoker, peak, fixed, oracle, timer-0s`},
		{"--trace " + trace + " --policy keda --policy keda", exitUsage, "--policy keda: given twice"},
		{"--trace " + trace + " --profile a --manifest b", exitFailed, "if any flags in the group"},
		{"--trace /none.csv", exitFailed, "no such file"},
		{"--trace " + trace + " --profile /none.yaml", exitFailed, "bad profile"},
		{"--trace " + trace + " --timeline /none/out.csv", exitFailed, "no such file or directory"},
		{"--trace " + trace + " --html /none/r.html", exitFailed, "--html: open /none/"},
		{"--trace " + manifest(t, "bad.csv", traceText+"1,1,1\n"), exitFailed, ":8:1: arrival_s"},
	} {
		got := stoker(t, "", append([]string{"simulate"}, strings.Fields(c.args)...)...)
		if got.code != c.code || !strings.Contains(got.err, c.err) {
			t.Errorf("%s: %+v, want exit code %d and %q", c.args, got, c.code, c.err)
		}
	}
	slow := manifest(t, "slow.yaml", "max: 1\nwaitSLO: {p99: 1s}\nservice: {base: 10s}\n")
	if got := stoker(t, "", "simulate", "--trace", trace, "--profile", slow); got.code != 0 || !strings.Contains(got.err, "raise max, or the objective's wait") {
		t.Errorf("an objective that cannot be met: %+v", got)
	}
}

const jobsText = "submit_s,gpus,duration_s,user\n0,4,100,a\n10,2,10,b\n20,1,400,a\n"

func TestSimulateJobs(t *testing.T) {
	jobs := manifest(t, "jobs.csv", jobsText)
	got := stoker(t, "", "simulate", "--jobs", jobs, "--gpus", "4", "--overhead", "30", "--baselines")
	for _, want := range []string{"POLICY", "stoker", "fifo", "fifo-skip", "las", "qssf", "srtf", "srgt", "MEAN-JCT"} {
		if got.code != 0 || !strings.Contains(got.out, want) {
			t.Errorf("%s is missing: %+v", want, got)
		}
	}
	got = stoker(t, "", "simulate", "--jobs", jobs, "--gpus", "4", "--policy", "srtf", "--overhead", "30", "--json")
	var results []map[string]any
	if err := json.Unmarshal([]byte(got.out), &results); err != nil || got.code != 0 || len(results) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	for field, want := range map[string]any{"policy": "srtf", "preemptions": 1.0, "gpu_seconds_lost": 120.0, "makespan_s": 540.0} {
		if results[0][field] != want {
			t.Errorf("%s: %v, want %v", field, results[0][field], want)
		}
	}
	for _, field := range strings.Fields("mean_jct_s p50 p99 mean_wait_s utilisation") {
		if _, there := results[0][field]; !there {
			t.Errorf("field %s is missing in %v", field, results[0])
		}
	}
}

func TestSimulateJobsRefuses(t *testing.T) {
	jobs := manifest(t, "jobs.csv", jobsText)
	for _, c := range []struct {
		args string
		code int
		err  string
	}{
		{"--jobs " + jobs, exitUsage, "--gpus 0: say how many GPUs"},
		{"--jobs= --gpus 4", exitUsage, "--jobs: name a CSV file"},
		{"--jobs " + jobs + " --gpus 4 --overhead -1", exitUsage, "--overhead -1: seconds, from 0"},
		{"--jobs " + jobs + " --gpus 4 --policy keda", exitUsage, "allowed with --jobs: stoker, fifo"},
		{"--jobs " + jobs + " --gpus 4 --policy las --policy las", exitUsage, "--policy las: given twice"},
		{"--jobs " + jobs + " --gpus 2", exitFailed, "jobs.csv:2:3: gpus: \"4\"; want at most the 2 GPUs there are"},
		{"--jobs " + jobs + " --gpus 4 --manifest x.yaml", exitFailed, "if any flags in the group"},
		{"--jobs " + jobs + " --gpus 4 --loans on", exitUsage, "--loans: only with --trace"},
		{"--jobs /none.csv --gpus 4", exitFailed, "no such file"},
		{"--jobs " + manifest(t, "bad.csv", jobsText+"1,1,1,a\n"), exitUsage, "--gpus"},
		{"--gpus 4 --trace x.csv", exitUsage, "--gpus: only with --jobs"},
		{"--gpus 4 --jobs " + manifest(t, "bad.csv", jobsText+"1,1,1,a\n"), exitFailed, ":5:1: submit_s"},
	} {
		got := stoker(t, "", append([]string{"simulate"}, strings.Fields(c.args)...)...)
		if got.code != c.code || !strings.Contains(got.err, c.err) {
			t.Errorf("%s: %+v, want exit code %d and %q", c.args, got, c.code, c.err)
		}
	}
}

func TestSimulateJobsAndRequestsOnOneFleet(t *testing.T) {
	jobs, trace, profile := manifest(t, "jobs.csv", jobsText), manifest(t, "trace.csv", traceText), manifest(t, "mixed.yaml", "pool: 2\n")
	got := stoker(t, "", "simulate", "--jobs", jobs, "--trace", trace, "--profile", profile, "--gpus", "6", "--overhead", "30", "--repeat", "2")
	for _, want := range []string{"LOANS", "off", "on", "ATTAINMENT", "MEAN-WAIT", "GPU-S-LENT"} {
		if got.code != 0 || !strings.Contains(got.out, want) {
			t.Errorf("%s is missing: %+v", want, got)
		}
	}
	got = stoker(t, "", "simulate", "--jobs", jobs, "--trace", trace, "--profile", profile, "--gpus", "6", "--loans", "on", "--drain", "0", "--json")
	var results []struct {
		Loans          bool
		Requests, Jobs map[string]any
		Lent           map[string]any
	}
	if err := json.Unmarshal([]byte(got.out), &results); err != nil || got.code != 0 || len(results) != 1 || !results[0].Loans {
		t.Fatalf("%+v, %v", got, err)
	}
	r := results[0]
	if r.Requests["requests"] == 0.0 || r.Requests["slo_attainment"] == nil || r.Jobs["policy"] != "stoker" || r.Jobs["mean_wait_s"] == nil || r.Lent["recalls"] == nil {
		t.Errorf("%+v", r)
	}
}

func TestSimulateJobsAndRequestsRefuses(t *testing.T) {
	both := "--jobs " + manifest(t, "jobs.csv", jobsText) + " --trace " + manifest(t, "trace.csv", traceText)
	two, none := " --profile "+manifest(t, "two.yaml", "pool: 2\n"), " --profile "+manifest(t, "none.yaml", "slots: 2\n")
	for _, c := range []struct {
		args string
		code int
		err  string
	}{
		{both + " --gpus 6", exitUsage, "--profile: name a YAML file whose pool"},
		{both + two + " --gpus 6 --loans maybe", exitUsage, `--loans "maybe": on, off or both`},
		{both + two + " --gpus 6 --drain -1", exitUsage, "--drain -1: seconds, from 0"},
		{both + two + " --gpus 6 --repeat 0", exitUsage, "--repeat 0: from 1 to"},
		{both + two + " --gpus 6 --policy las", exitUsage, "--policy: not with --jobs and --trace"},
		{both + none + " --gpus 6", exitFailed, "which inference is guaranteed, is 0 GPUs"},
		{both + two + " --gpus 2", exitFailed, "fewer than the 2 of --gpus"},
		{both + two + " --gpus 5", exitFailed, "gpus: \"4\"; want at most the 3 GPUs there are"},
		{both + two + " --gpus 6 --trace= ", exitUsage, "name a CSV file of training jobs and one of requests"},
	} {
		got := stoker(t, "", append([]string{"simulate"}, strings.Fields(c.args)...)...)
		if got.code != c.code || !strings.Contains(got.err, c.err) {
			t.Errorf("%s: %+v, want exit code %d and %q", c.args, got, c.code, c.err)
		}
	}
}
