package functions

import (
	"reflect"
	"regexp"
	"slices"
)

// Patterns are anchored and use only what Go's and JSON Schema's expressions share.
const (
	namePattern      = `^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`
	subdomainPattern = `^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	qualifiedPattern = `^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`
	labelKeyPattern  = `^([a-z0-9][-a-z0-9.]*/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`
	envNamePattern   = `^[A-Za-z_][A-Za-z0-9_]*$`
	secretKeyPattern = `^[A-Za-z0-9_-][A-Za-z0-9._-]*$`
	urlPathPattern   = `^/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*$`
	filePathPattern  = `^/[^\x00]*$`
	anyTextPattern   = `^[^\x00]*$`
	productPattern   = `^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?$`
	imagePattern     = `^([A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[a-f0-9]{64})?$`
)

const (
	nameAllowed = "1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit (RFC 1123)"
	pathAllowed = "an HTTP path such as /v1/completions: it begins with / and has no query"
)

var nameText = regexp.MustCompile(namePattern)

// ValidName tells whether s can name a function, a namespace or a pool: a DNS-1123 label.
func ValidName(s string) bool { return nameText.MatchString(s) }

// functionKind is the kind Function. Its rules are in the order of the types; what ties two fields
// together is in conflicts.go.
var functionKind = kind[Function]{
	grammar:   grammar{name: KindFunction, of: reflect.TypeFor[Function](), rules: functionRules()},
	silent:    silentFunction,
	complete:  Default,
	conflicts: conflicts,
}

// functionRules are all rules about single fields of a Function.
func functionRules() []rule {
	return slices.Concat(runs(KindFunction), program("vllm, serve", "tinylm, serve"), []rule{
		whole("spec.runtime.port", 0, 65535).orElse("leave it out, and the provider picks a free one and sets $PORT"),
		oneOf("spec.runtime.protocol", ProtocolHTTP, ProtocolOpenAI, ProtocolCloudEvents),
		text("spec.runtime.path", urlPathPattern, maxPathBytes, pathAllowed),
		shape("spec.runtime.ready", "path and timeout").orElse("write ready: {path: /health}"),
		text("spec.runtime.ready.path", urlPathPattern, maxPathBytes, pathAllowed),
		span("spec.runtime.ready.timeout", minReadyTimeout, MaxReadyTimeout),
		shape("spec.runtime.drain", "grace").orElse("write drain: {grace: 30s}"),
		span("spec.runtime.drain.grace", minDrainGrace, MaxDrainGrace),
	}, hardware("gpus"), []rule{
		whole("spec.scaling.min", 0, MaxReplicas),
		whole("spec.scaling.max", 1, MaxReplicas).orElse("to stop a function without deleting it, pause it"),
		whole("spec.scaling.slots", 1, MaxSlots),
		whole("spec.scaling.weight", 1, MaxWeight).orElse("it counts while GPUs are short; scaling.min is what a function has in any case"),
		shape("spec.scaling.waitSLO", "one percentile with its duration").orElse("write waitSLO: {p95: 2s}"),
		span("spec.scaling.waitSLO.p50", minWait, MaxWait).mayLack(),
		span("spec.scaling.waitSLO.p95", minWait, MaxWait).mayLack(),
		span("spec.scaling.waitSLO.p99", minWait, MaxWait).mayLack(),
		keepAliveRule("spec.scaling.keepAlive"),
		shape("spec.scaling.budget", "US dollars perHour, perDay or perMonth, and an action").orElse("write budget: {perDay: 20, action: cap}"),
		dollars("spec.scaling.budget.perHour"),
		dollars("spec.scaling.budget.perDay"),
		dollars("spec.scaling.budget.perMonth"),
		oneOf("spec.scaling.budget.action", BudgetWarn, BudgetCap).mayLack(),

		shape("spec.queue.depth", "numbers for interactive, standard and batch").orElse("write depth: {interactive: 100}"),
		whole("spec.queue.depth.interactive", 1, MaxDepth),
		whole("spec.queue.depth.standard", 1, MaxDepth),
		whole("spec.queue.depth.batch", 1, MaxDepth),
		span("spec.queue.deadline", minDeadline, MaxDeadline),
		whole("spec.queue.attempts", 1, MaxAttempts),
		shape("spec.queue.backoff", "initial and max").orElse("write backoff: {initial: 1s, max: 1m}"),
		span("spec.queue.backoff.initial", minBackoff, MaxBackoff),
		span("spec.queue.backoff.max", minBackoff, MaxBackoff),

		oneOf("spec.results.record", RecordAuto, RecordStatus, RecordWhole),
		span("spec.results.retention", minRetention, MaxRetention),

		entries("spec.overload.shed", len(Classes()), "of interactive, standard and batch in a list, each at most once"),
		oneOf("spec.overload.shed[]", Classes()...),
		name("spec.overload.fallback"),
		name("spec.placement.pool"),
	})
}
