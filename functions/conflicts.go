package functions

import (
	"fmt"
	"strconv"
)

// conflicts are the rules that tie a function's fields together, or a map to its keys.
var conflicts = []func(Function) []FieldError{
	func(f Function) []FieldError { return checkLabels(f.Metadata) },
	func(f Function) []FieldError { return checkProgram(f.Spec.Runtime, servedEnv) },
	checkPath,
	checkGPUs,
	checkBounds,
	checkWaitSLO,
	checkBudget,
	checkBackoff,
	checkShed,
	checkFallback,
}

func checkPath(f Function) []FieldError {
	if f.Spec.Runtime.Protocol != ProtocolOpenAI || f.Spec.Runtime.Path == "" {
		return nil
	}
	return []FieldError{{
		Path: "spec.runtime.path", Value: strconv.Quote(shorten(f.Spec.Runtime.Path)), Err: ErrConflict,
		Allowed: "nothing where protocol is openai",
		Hint:    "there the request's shape chooses the path; remove path, or take protocol: http",
	}}
}

func checkGPUs(f Function) []FieldError {
	r := f.Spec.Resources
	return checkWishes("gpus", r.GPUs, r.GPUMem, r.Products)
}

func checkBounds(f Function) []FieldError {
	s := f.Spec.Scaling
	if s.Min <= s.Max || s.Max < 1 {
		return nil
	}
	return []FieldError{{
		Path: "spec.scaling.min", Value: strconv.Itoa(s.Min), Err: ErrConflict,
		Allowed: fmt.Sprintf("at most scaling.max, which is %d", s.Max),
		Hint:    fmt.Sprintf("raise max to %d, or lower min", s.Min),
		with:    "spec.scaling.max",
	}}
}

func checkWaitSLO(f Function) []FieldError {
	w := f.Spec.Scaling.WaitSLO
	given := 0
	for _, d := range []Duration{w.P50, w.P95, w.P99} {
		if d != 0 {
			given++
		}
	}
	if given == 1 {
		return nil
	}
	return []FieldError{{
		Path: "spec.scaling.waitSLO", Value: fmt.Sprintf("%d percentiles", given), Err: ErrConflict,
		Allowed: "exactly one of p50, p95 and p99", Hint: "keep the one that callers feel; most keep p95",
	}}
}

func checkBudget(f Function) []FieldError {
	b := f.Spec.Scaling.Budget
	if b == (Budget{}) || b.PerHour != "" || b.PerDay != "" || b.PerMonth != "" {
		return nil
	}
	return []FieldError{{
		Path: "spec.scaling.budget", Value: "no amount", Err: ErrConflict, Allowed: "at least one of perHour, perDay and perMonth",
		Hint: "write budget: {perDay: 20, action: cap}, or leave it out",
	}}
}

func checkBackoff(f Function) []FieldError { return checkPauses("queue.backoff", f.Spec.Queue.Backoff) }

func checkShed(f Function) []FieldError { return twice("spec.overload.shed", f.Spec.Overload.Shed) }

func checkFallback(f Function) []FieldError {
	if f.Spec.Overload.Fallback == "" || f.Spec.Overload.Fallback != f.Metadata.Name {
		return nil
	}
	return []FieldError{{
		Path: "spec.overload.fallback", Value: strconv.Quote(f.Spec.Overload.Fallback), Err: ErrConflict,
		Allowed: "the name of another function in the same namespace",
		Hint:    "a function that is full cannot take its own requests; name another, or remove fallback",
	}}
}
