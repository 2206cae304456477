package functions_test

import (
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
)

// anyFunction draws a function that Validate accepts once Default has completed it.
func anyFunction(t *rapid.T) functions.Function {
	var f functions.Function
	f.Metadata.Name = anyName().Draw(t, "name")
	f.Metadata.Namespace = rapid.OneOf(rapid.Just(""), anyName()).Draw(t, "namespace")
	f.Metadata.Labels = maybe(t, "labels", rapid.MapOfN(anyLabelKey(), rapid.StringMatching(`|[A-Za-z0-9]([A-Za-z0-9_.-]{0,20}[A-Za-z0-9])?`), 0, 4))
	f.Metadata.Annotations = maybe(t, "annotations", rapid.MapOfN(anyLabelKey(), anyText(), 0, 4))
	f.Spec.Runtime = anyRuntime(t)
	f.Spec.Resources = anyResources(t)
	f.Spec.Scaling = anyScaling(t)
	f.Spec.Queue = anyQueue(t)
	f.Spec.Results.Record = rapid.SampledFrom([]functions.RecordContent{"", functions.RecordAuto, functions.RecordStatus, functions.RecordWhole}).Draw(t, "record")
	f.Spec.Results.Retention = anySpan(t, "retention", time.Second, functions.MaxRetention)
	f.Spec.Overload.Shed = maybe(t, "shed", rapid.SliceOfNDistinct(rapid.SampledFrom(functions.Classes()), 0, 3, rapid.ID))
	if fallback := rapid.OneOf(rapid.Just(""), anyName()).Draw(t, "fallback"); fallback != f.Metadata.Name {
		f.Spec.Overload.Fallback = fallback
	}
	f.Spec.Placement.Pool = rapid.OneOf(rapid.Just(""), anyName()).Draw(t, "pool")
	return f
}

func anyRuntime(t *rapid.T) functions.Runtime {
	var r functions.Runtime
	kind := rapid.IntRange(0, 2).Draw(t, "image, local or both")
	if kind != 1 {
		r.Image = rapid.SampledFrom([]string{"a", "registry.example:5000/models/llama:1", "a/b_c.d@sha256:" + hex64}).Draw(t, "image")
		r.Command = maybe(t, "image's command", rapid.SliceOfN(anyText().Filter(func(s string) bool { return s != "" }), 0, 3))
		r.Args = maybe(t, "image's args", rapid.SliceOfN(anyText(), 0, 3))
	}
	if kind != 0 {
		r.Local = &functions.Local{
			Command:    rapid.SliceOfN(anyText().Filter(func(s string) bool { return s != "" }), 1, 3).Draw(t, "command"),
			Args:       maybe(t, "args", rapid.SliceOfN(anyText(), 0, 3)),
			WorkingDir: rapid.SampledFrom([]string{"", "/", "/var/lib/models with spaces"}).Draw(t, "workingDir"),
		}
	}
	r.Env = maybe(t, "env", rapid.SliceOfNDistinct(rapid.Custom(anyEnv), 0, 4, func(e functions.EnvVar) string { return e.Name }))
	r.Port = rapid.IntRange(0, 65535).Draw(t, "port")
	r.Protocol = rapid.SampledFrom([]functions.Protocol{"", functions.ProtocolHTTP, functions.ProtocolOpenAI, functions.ProtocolCloudEvents}).Draw(t, "protocol")
	if r.Protocol != functions.ProtocolOpenAI {
		r.Path = rapid.SampledFrom([]string{"", "/", "/v1/predict:batch"}).Draw(t, "path")
	}
	r.Ready.Path = rapid.SampledFrom([]string{"", "/", "/v2/health/ready"}).Draw(t, "ready path")
	r.Ready.Timeout = anySpan(t, "ready timeout", time.Second, functions.MaxReadyTimeout)
	r.Drain.Grace = anySpan(t, "grace", time.Second, functions.MaxDrainGrace)
	return r
}

const hex64 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func anyEnv(t *rapid.T) functions.EnvVar {
	env := functions.EnvVar{Name: rapid.StringMatching(`[A-OQ-RT-Za-z_][A-Za-z0-9_]{0,10}`).Draw(t, "name")} // neither PORT nor STOKER_
	if env.Name == "CUDA_VISIBLE_DEVICES" {
		env.Name = "CUDA"
	}
	if rapid.Bool().Draw(t, "secret") {
		env.ValueFrom = &functions.EnvSource{SecretKeyRef: &functions.SecretKeyRef{
			Name: rapid.StringMatching(`[a-z0-9]{1,5}(\.[a-z0-9]{1,5})?`).Draw(t, "secret's name"),
			Key:  rapid.StringMatching(`[A-Za-z0-9_-][A-Za-z0-9._-]{0,9}`).Draw(t, "secret's key"),
		}}
	} else {
		env.Value = anyText().Draw(t, "value")
	}
	return env
}

func anyResources(t *rapid.T) functions.Resources {
	r := functions.Resources{GPUs: rapid.IntRange(0, functions.MaxGPUs).Draw(t, "gpus")}
	if r.GPUs > 0 {
		r.GPUMem = rapid.SampledFrom([]functions.Quantity{"", "1Mi", "40Gi", "80G", "0.5Ti"}).Draw(t, "gpuMemory")
		r.Products = maybe(t, "products", rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"NVIDIA H200", "L4", "MI300X"}), 0, 3, rapid.ID))
	}
	r.CPU = rapid.SampledFrom([]functions.Quantity{"", "1m", "500m", "2", "1.5", "4k"}).Draw(t, "cpu")
	r.Memory = rapid.SampledFrom([]functions.Quantity{"", "1Mi", "8Gi", "1.5Ti", "123456789"}).Draw(t, "memory")
	return r
}

func anyScaling(t *rapid.T) functions.Scaling {
	s := functions.Scaling{
		Max:       rapid.IntRange(0, functions.MaxReplicas).Draw(t, "max"),
		Slots:     rapid.IntRange(0, functions.MaxSlots).Draw(t, "slots"),
		Weight:    rapid.IntRange(0, functions.MaxWeight).Draw(t, "weight"),
		Budget:    rapid.SampledFrom([]functions.Budget{{}, {PerHour: "2.50"}, {PerDay: "1k", PerMonth: "20000", Action: functions.BudgetCap}}).Draw(t, "budget"),
		KeepAlive: rapid.SampledFrom([]functions.KeepAlive{"", "auto", "0s", "5m", "168h"}).Draw(t, "keepAlive"),
	}
	s.Min = rapid.IntRange(0, max(s.Max, functions.DefaultMaxReplicas)).Draw(t, "min")
	wait := anySpan(t, "wait", time.Millisecond, functions.MaxWait)
	switch rapid.IntRange(0, 3).Draw(t, "percentile") {
	case 1:
		s.WaitSLO.P50 = wait
	case 2:
		s.WaitSLO.P95 = wait
	case 3:
		s.WaitSLO.P99 = wait
	}
	return s
}

func anyQueue(t *rapid.T) functions.Queue {
	q := functions.Queue{
		Deadline: anySpan(t, "deadline", 10*time.Millisecond, functions.MaxDeadline),
		Attempts: rapid.IntRange(0, functions.MaxAttempts).Draw(t, "attempts"),
		Depth: functions.Depth{
			Interactive: rapid.IntRange(0, functions.MaxDepth).Draw(t, "interactive"),
			Standard:    rapid.IntRange(0, functions.MaxDepth).Draw(t, "standard"),
			Batch:       rapid.IntRange(0, functions.MaxDepth).Draw(t, "batch"),
		},
	}
	q.Backoff.Max = anySpan(t, "backoff max", time.Second, functions.MaxBackoff)
	q.Backoff.Initial = anySpan(t, "backoff initial", 10*time.Millisecond, max(q.Backoff.Max.D(), functions.DefaultBackoffInitial))
	return q
}

// anySpan is a duration within bounds, or zero for one not given.
func anySpan(t *rapid.T, label string, lo, hi time.Duration) functions.Duration {
	if rapid.Bool().Draw(t, label+" given") {
		return functions.Duration(rapid.Int64Range(int64(lo), int64(hi)).Draw(t, label))
	}
	return 0
}

func anyName() *rapid.Generator[string] {
	return rapid.StringMatching(`[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?`)
}

func anyLabelKey() *rapid.Generator[string] {
	return rapid.StringMatching(`([a-z0-9]{1,5}(\.[a-z0-9]{1,5})?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,10}[A-Za-z0-9])?`)
}

// anyText is any text that a process can be given.
func anyText() *rapid.Generator[string] {
	return rapid.String().Filter(func(s string) bool {
		for _, r := range s {
			if r == 0 {
				return false
			}
		}
		return true
	})
}

// maybe draws a value, or the zero value for a field not given.
func maybe[T any](t *rapid.T, label string, g *rapid.Generator[T]) (value T) {
	if rapid.Bool().Draw(t, label+" given") {
		return g.Draw(t, label)
	}
	return value
}
