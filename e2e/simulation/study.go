package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"stoker.dev/stoker/cmd/stoker/simulate"
	policies "stoker.dev/stoker/scale/simulate"
)

// traceNames are the recorded traces, each with a profile of its name in deploy/profiles.
var traceNames = []string{
	"inf_azure2023_code", "inf_mooncake_conv_h1", "inf_servegen_diurnal_mlarge",
	"inf_gentd26_multimodel", "inf_servegen_sparse_tenants", "inf_servegen_flash14d",
}

// quickest are those that a test can study again in seconds.
var quickest = traceNames[:2]

// seed of all simulations.
const seed = 1

// family is a policy to compare with and the constants that hindsight may choose from.
type family struct {
	name   string
	swept  string
	policy []string
}

// families sweep what their makers let one choose: an idle time, a stable window, a cooldown and a polling interval, the
// range of the histogram.
var families = []family{
	{"timer", "0 s to 14,400 s", names("timer-", "0s 5s 15s 30s 60s 120s 180s 300s 600s 900s 1200s 1800s 3600s 7200s 14400s")},
	{"knative", "stable windows of 6 s to 3,600 s", names("knative-", "6s 15s 30s 60s 120s 300s 600s 1200s 3600s")},
	{"keda", "cooldowns of 0 s to 14,400 s, polling every 2 s, 4 s, 10 s and 30 s, targets of all of a replica's slots and of half of them, minima of 0 and 1", slices.Concat(
		names("keda-", "0s-2s 30s-2s 120s-2s 300s-2s 900s-2s 3600s-2s 14400s-2s"),
		names("keda-", "0s-4s 30s-4s 120s-4s 300s-4s 900s-4s 3600s-4s 14400s-4s"),
		names("keda-", "0s-10s 60s-10s 300s-10s 1200s-10s 3600s-10s 14400s-10s"),
		names("keda-", "0s-30s 60s-30s 1200s-30s 3600s-30s 14400s-30s"),
		names("keda-", "0s-2s-half 60s-2s-half 300s-2s-half 1200s-2s-half 3600s-2s-half 14400s-2s-half 60s-10s-half 300s-10s-half"),
		names("keda-", "0s-2s-min1 60s-2s-min1 300s-2s-min1 1200s-2s-min1 0s-2s-half-min1 60s-2s-half-min1 300s-2s-half-min1 1200s-2s-half-min1"))},
	{"hybrid-histogram", "ranges of 10 min to 24 h", names("hybrid-histogram-", "10m 30m 1h 2h 4h 8h 24h")},
}

func names(prefix, constants string) []string {
	out := strings.Fields(constants)
	for i := range out {
		out[i] = prefix + out[i]
	}
	return out
}

// study is what came of one trace.
type study struct {
	name     string
	settings policies.Settings
	table    []policies.Result
	swept    map[string][]policies.Result // by family
}

// studyTrace runs one trace.
func studyTrace(ctx context.Context, root, traces, name string) (study, error) {
	trace := filepath.Join(traces, name+".csv.gz")
	if _, err := os.Stat(trace); err != nil {
		return study{}, fmt.Errorf("the recorded traces are not part of the repository: %w", err)
	}
	p, err := simulate.ReadProfile(filepath.Join(root, "deploy/profiles", name+".yaml"), trace)
	if err != nil {
		return study{}, err
	}
	table := []string{"stoker"}
	for _, f := range policies.Baselines() {
		table = append(table, f.Name)
	}
	table = append(table, policies.Hindsight()...)
	all := table
	for _, f := range families {
		for _, n := range f.policy {
			if !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
	}
	report, err := simulate.Run(ctx, simulate.Options{Trace: trace, Profile: p, Policies: all, Seed: seed})
	if err == nil && report.Cut {
		err = errors.New("interrupted: the document is as it was")
	}
	if err != nil {
		return study{}, err
	}
	s := study{name: name, settings: p.Settings(""), table: report.Results[:len(table)], swept: map[string][]policies.Result{}}
	for _, f := range families {
		for i, r := range report.Results { // in the order of all: a result's own name may be another spelling
			if slices.Contains(f.policy, all[i]) || all[i] == f.name { // the default constants belong to the family too
				s.swept[f.name] = append(s.swept[f.name], r)
			}
		}
	}
	return s, nil
}

// row is a policy's row of the table.
func (s study) row(policy string) policies.Result {
	for _, r := range s.table {
		if r.Policy == policy {
			return r
		}
	}
	return policies.Result{}
}

// atOurs is what a family needs at stoker's attainment.
func (s study) atOurs(family string) (gpuSeconds float64, reached bool) {
	return policies.NewFrontier(s.swept[family]).At(s.row("stoker").Attainment)
}
