package functions_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/functions"
)

func TestDurationText(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0s": 0, "2s": 2 * time.Second, "1m30s": 90 * time.Second, "10m": 10 * time.Minute,
		"1h": time.Hour, "168h": 168 * time.Hour, "1.5s": 1500 * time.Millisecond, "10ms": 10 * time.Millisecond,
		"1h0m1s": time.Hour + time.Second, "20m": 20 * time.Minute, "100h": 100 * time.Hour,
	} {
		var d functions.Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d.D() != want {
			t.Errorf("%s: read %v, %v", text, d.D(), err)
		}
		if d.String() != text {
			t.Errorf("%s: written as %s", text, d)
		}
	}
	for _, text := range []string{"", "2", "0", "-2s", "+2s", "2 s", "2d", "s", ".5s", "2S", "1e3s", "99999999999h"} {
		d := functions.Duration(7)
		if err := d.UnmarshalText([]byte(text)); !errors.Is(err, functions.ErrValue) || d != 7 {
			t.Errorf("%q: read %v, %v", text, d, err)
		}
	}
	var d functions.Duration
	if err := json.Unmarshal([]byte("5"), &d); err == nil {
		t.Error("read a bare number")
	}
}

func TestKeepAlive(t *testing.T) {
	for _, c := range []struct {
		text functions.KeepAlive
		auto bool
		want time.Duration
	}{{"auto", true, 0}, {"90s", false, 90 * time.Second}, {"0s", false, 0}, {"soon", false, 0}} {
		if c.text.Auto() != c.auto || c.text.D() != c.want {
			t.Errorf("%s: %v %v", c.text, c.text.Auto(), c.text.D())
		}
	}
}

func TestQuantity(t *testing.T) {
	for _, c := range []struct {
		text  functions.Quantity
		bytes uint64
		milli int64
	}{
		{"", 0, 0}, {"0", 0, 0}, {"2", 2, 2000}, {"500m", 1, 500}, {"0.5", 1, 500}, {"1.001", 2, 1001},
		{"1k", 1000, 1_000_000}, {"1Ki", 1024, 1_024_000}, {"40Gi", 40 << 30, 40 << 30 * 1000},
		{"1.5Gi", 3 << 29, 3 << 29 * 1000}, {"3M", 3e6, 3e9}, {"3G", 3e9, 3e12}, {"3T", 3e12, 3e15},
		{"8Mi", 8 << 20, 8 << 20 * 1000}, {"1Ti", 1 << 40, 1 << 40 * 1000},
		{"0.0001", 0, 0}, {"0.5m", 0, 0}, {"9999Ti", 0, 0}, {"-1", 0, 0}, {"1e3", 0, 0}, {"8 Gi", 0, 0}, {"8GB", 0, 0}, {"Gi", 0, 0},
		{"999999999999999", 0, 0}, {"999999999999999Ti", 0, 0}, {"1000000000000000000000000", 0, 0},
	} {
		if c.text.Bytes() != c.bytes || c.text.Milli() != c.milli {
			t.Errorf("%q: %d bytes, %d thousandths", c.text, c.text.Bytes(), c.text.Milli())
		}
	}
	if q := functions.Quantity("8Ti"); q.Milli() > math.MaxInt64/1000 {
		t.Error("a thousand of these overflow")
	}
}

func TestWaitSLOTarget(t *testing.T) {
	for _, c := range []struct {
		slo        functions.WaitSLO
		percentile float64
		wait       time.Duration
	}{
		{functions.WaitSLO{P50: functions.Duration(time.Second)}, 0.50, time.Second},
		{functions.WaitSLO{P95: functions.Duration(time.Minute)}, 0.95, time.Minute},
		{functions.WaitSLO{P99: functions.Duration(time.Hour)}, 0.99, time.Hour},
		{functions.WaitSLO{}, 0, 0},
	} {
		if p, w := c.slo.Target(); p != c.percentile || w != c.wait {
			t.Errorf("%+v: %v %v", c.slo, p, w)
		}
	}
}

func TestDepthOf(t *testing.T) {
	d := functions.Depth{Interactive: 1, Standard: 2, Batch: 3}
	for i, class := range functions.Classes() {
		if d.Of(class) != i+1 {
			t.Errorf("%s: %d", class, d.Of(class))
		}
	}
	if d.Of("urgent") != 0 {
		t.Error("a class that does not exist may wait")
	}
}

func TestValidName(t *testing.T) {
	for _, s := range []string{"a", "a-b", "0", "llama-3", strings.Repeat("x", functions.MaxNameBytes)} {
		if !functions.ValidName(s) {
			t.Errorf("refused %q", s)
		}
	}
	for _, s := range []string{"", "-a", "a-", "A", "a.b", "a_b", "a b", "a\n", "é", "*", ">", strings.Repeat("x", functions.MaxNameBytes+1)} {
		if functions.ValidName(s) {
			t.Errorf("accepted %q", s)
		}
	}
}

// TestRevisionIsPinned fails when the hash of an unchanged manifest changes: an upgrade of
// stoker would then restart every replica of every user.
func TestRevisionIsPinned(t *testing.T) {
	spec := functions.Spec{Runtime: functions.Runtime{Image: "registry.example/llama:1"}}
	spec.Resources.GPUs = 1
	if got := functions.Revision(spec); got != "ad98b83e9c" {
		t.Errorf("revision %s", got)
	}
}

func TestRevisionCoversWhatReplicasRunWith(t *testing.T) {
	base := functions.Spec{Runtime: functions.Runtime{Image: "a"}}
	for name, c := range map[string]struct {
		change func(*functions.Spec)
		rolls  bool
	}{
		"image":     {func(s *functions.Spec) { s.Runtime.Image = "b" }, true},
		"command":   {func(s *functions.Spec) { s.Runtime.Command = []string{"serve"} }, true},
		"args":      {func(s *functions.Spec) { s.Runtime.Args = []string{"--port", "$(PORT)"} }, true},
		"no args":   {func(s *functions.Spec) { s.Runtime.Command, s.Runtime.Args = []string{}, []string{} }, false},
		"env":       {func(s *functions.Spec) { s.Runtime.Env = []functions.EnvVar{{Name: "A"}} }, true},
		"ready":     {func(s *functions.Spec) { s.Runtime.Ready.Path = "/up" }, true},
		"gpus":      {func(s *functions.Spec) { s.Resources.GPUs = 2 }, true},
		"pool":      {func(s *functions.Spec) { s.Placement.Pool = "spot" }, true},
		"slots":     {func(s *functions.Spec) { s.Scaling.Slots = 2 }, true},
		"a default": {func(s *functions.Spec) { s.Runtime.Ready.Path = functions.DefaultReadyPath }, false},
		"max":       {func(s *functions.Spec) { s.Scaling.Max = 9 }, false},
		"weight":    {func(s *functions.Spec) { s.Scaling.Weight = 3 }, false},
		"wait SLO":  {func(s *functions.Spec) { s.Scaling.WaitSLO.P50 = 1 }, false},
		"keepAlive": {func(s *functions.Spec) { s.Scaling.KeepAlive = "1h" }, false},
		"queue":     {func(s *functions.Spec) { s.Queue.Attempts = 9 }, false},
		"results":   {func(s *functions.Spec) { s.Results.Record = functions.RecordWhole }, false},
		"overload":  {func(s *functions.Spec) { s.Overload.Fallback = "b" }, false},
	} {
		changed := base
		c.change(&changed)
		if rolled := functions.Revision(changed) != functions.Revision(base); rolled != c.rolls {
			t.Errorf("%s: rolls %v, want %v", name, rolled, c.rolls)
		}
	}
}
