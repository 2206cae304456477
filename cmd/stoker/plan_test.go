package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestPlan(t *testing.T) {
	trace, fn, profile := manifest(t, "trace.csv", traceText), manifest(t, "f.yaml", manifestText), manifest(t, "gpu.yaml", "slots: 2\n")
	got := stoker(t, "", "plan", "--trace", trace, "--manifest", fn, "--profile", profile)
	for _, want := range []string{"the plan", "manifests as they are", "gpu", "keepAlive", "99.9%", "USD/MONTH"} {
		if got.code != 0 || !strings.Contains(got.out, want) {
			t.Errorf("%s is missing: %+v", want, got)
		}
	}
	got = stoker(t, "", "plan", "--trace", trace, "--manifest", fn, "--json")
	var products []map[string]any
	if err := json.Unmarshal([]byte(got.out), &products); err != nil || len(products) != 1 || products[0]["usd_per_month"] == nil {
		t.Errorf("%+v, %v", got, err)
	}
	for args, want := range map[string]string{
		"--trace " + trace:                    "--manifest: name",
		"-f " + fn:                            "--trace: name a CSV file of requests",
		"--trace /none.csv --manifest " + fn:  "no such file",
		"--trace " + trace + " -f /none.yaml": "no such file",
		"--trace " + trace + " -f " + fn + " --profile /none.yaml": "bad profile",
	} {
		if got := stoker(t, "", append([]string{"plan"}, strings.Fields(args)...)...); got.code == 0 || !strings.Contains(got.err, want) {
			t.Errorf("%s: %+v, want %q", args, got, want)
		}
	}
}
