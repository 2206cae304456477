package functions

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// conflicts are the rules that tie fields together, or a map to its keys.
var conflicts = []func(Function) []FieldError{
	checkLabels,
	checkRunnable,
	checkPrograms,
	checkLocalPaths,
	checkEnv,
	checkPath,
	checkGPUs,
	checkBounds,
	checkWaitSLO,
	checkBudget,
	checkBackoff,
	checkShed,
	checkFallback,
}

var (
	subdomainText = regexp.MustCompile(subdomainPattern)
	qualifiedText = regexp.MustCompile(qualifiedPattern)
)

// reservedPrefix marks the labels that stoker itself sets on what it starts.
const reservedPrefix = "stoker.dev"

// checkLabels holds labels and annotations to the syntax of Kubernetes, which gets them.
func checkLabels(f Function) []FieldError {
	var errs []FieldError
	labels := place{}.field("metadata").field("labels")
	for _, key := range slices.Sorted(maps.Keys(f.Metadata.Labels)) {
		errs = append(errs, checkLabelKey(labels.key(key), key)...)
		if value := f.Metadata.Labels[key]; value != "" && !qualifiedName(value) {
			errs = append(errs, FieldError{
				Path: labels.key(key).path, Value: strconv.Quote(shorten(value)), Err: ErrValue,
				Allowed: "empty, or up to 63 letters, digits, -, _ and ., beginning and ending with a letter or digit",
				Hint:    "longer or freer text goes into metadata.annotations",
			})
		}
	}
	annotations := place{}.field("metadata").field("annotations")
	for _, key := range slices.Sorted(maps.Keys(f.Metadata.Annotations)) {
		errs = append(errs, checkLabelKey(annotations.key(key), key)...)
	}
	return errs
}

func checkLabelKey(at place, key string) []FieldError {
	prefix, name, prefixed := strings.Cut(key, "/")
	if !prefixed {
		prefix, name = "", key
	}
	fe := FieldError{Path: at.path, Value: strconv.Quote(shorten(key)), Err: ErrValue}
	switch {
	case prefixed && prefix == reservedPrefix:
		fe.Allowed = "any prefix but " + reservedPrefix + "/"
		fe.Hint = "stoker sets those itself; take a prefix of your own domain"
	case !qualifiedName(name) || prefixed && (len(prefix) > maxLabelPrefixBytes || !subdomainText.MatchString(prefix)):
		fe.Allowed = "a key such as team or example.com/team: a name of up to 63 letters, digits, -, _ and ., with a domain and / before it or not"
	default:
		return nil
	}
	return []FieldError{fe}
}

// qualifiedName tells whether s may be a label's value or the name in its key.
func qualifiedName(s string) bool { return len(s) <= MaxNameBytes && qualifiedText.MatchString(s) }

func checkRunnable(f Function) []FieldError {
	run := f.Spec.Runtime
	switch {
	case run.Image == "" && (run.Command != nil || run.Args != nil):
		return checkOverrides(run)
	case run.Image == "" && run.Local == nil:
		return []FieldError{{
			Path: "spec.runtime", Err: ErrRequired, Allowed: "image, local or both",
			Hint: "give local.command to run on this machine, and image to run on Kubernetes",
			with: "spec.runtime.image",
		}}
	default:
		return nil
	}
}

// checkOverrides refuses what would replace the command of an image where there is none. An empty
// list counts as well: it was written for something.
func checkOverrides(run Runtime) []FieldError {
	var errs []FieldError
	for _, list := range []struct {
		name string
		text []string
	}{{"command", run.Command}, {"args", run.Args}} {
		if list.text != nil {
			errs = append(errs, FieldError{
				Path: "spec.runtime." + list.name, Err: ErrConflict, Allowed: "nothing where image is not given",
				Hint: "name the image that it runs in with image, or move it into local to run it on this machine",
				with: "spec.runtime.image",
			})
		}
	}
	return errs
}

// checkPrograms refuses commands whose first entry, the program, is empty.
func checkPrograms(f Function) []FieldError {
	var errs []FieldError
	check := func(path string, command []string) {
		if len(command) > 0 && command[0] == "" {
			errs = append(errs, FieldError{Path: path + "[0]", Value: `""`, Err: ErrValue, Allowed: "the program to run"})
		}
	}
	check("spec.runtime.command", f.Spec.Runtime.Command)
	if local := f.Spec.Runtime.Local; local != nil {
		check("spec.runtime.local.command", local.Command)
	}
	return errs
}

// reservedEnv are the variables that say which port and which GPUs are the model server's: a replica
// must not choose somebody else's. The last one is read by NVIDIA's container runtime.
var reservedEnv = []string{"PORT", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"}

// reservedEnvPrefix is that of stoker's own settings; a server never sees those.
const reservedEnvPrefix = "STOKER_"

func checkEnv(f Function) []FieldError {
	var errs []FieldError
	first := map[string]int{}
	list := place{}.field("spec").field("runtime").field("env")
	for i, env := range f.Spec.Runtime.Env {
		at := list.entry(i)
		if before, twice := first[env.Name]; twice && env.Name != "" {
			errs = append(errs, FieldError{
				Path: at.field("name").path, Value: strconv.Quote(env.Name), Err: ErrDuplicate,
				Hint: fmt.Sprintf("%s has the same name", list.entry(before).path),
			})
		}
		first[env.Name] = i
		if slices.Contains(reservedEnv, env.Name) || strings.HasPrefix(env.Name, reservedEnvPrefix) {
			errs = append(errs, FieldError{
				Path: at.field("name").path, Value: strconv.Quote(env.Name), Err: ErrValue,
				Allowed: "any name but " + listWords(reservedEnv) + " and those that begin with " + reservedEnvPrefix,
				Hint:    "stoker sets these for the model server; ask for a fixed port with spec.runtime.port",
			})
		}
		if env.Value == HiddenValue {
			errs = append(errs, FieldError{
				Path: at.field("value").path, Err: ErrValue, Allowed: "any text but " + strconv.Quote(HiddenValue),
				Hint: "stoker shows that in place of a value: write the value, or name a secret with valueFrom",
			})
		}
		errs = append(errs, checkEnvSource(at, env)...)
	}
	return errs
}

func checkEnvSource(at place, env EnvVar) []FieldError {
	source := at.field("valueFrom")
	switch {
	case env.ValueFrom == nil:
		return nil
	case env.Value != "":
		return []FieldError{{
			Path: source.path, Err: ErrConflict, Allowed: "value or valueFrom, not both", Hint: "remove one of them",
		}}
	case env.ValueFrom.SecretKeyRef == nil:
		return []FieldError{{
			Path: source.field("secretKeyRef").path, Err: ErrRequired, Allowed: "a secret's name and key",
			Hint: "write secretKeyRef: {name: hub, key: token}",
		}}
	default:
		return nil
	}
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

// checkGPUs refuses wishes about GPUs for a function that takes none, and wishes twice made.
func checkGPUs(f Function) []FieldError {
	var errs []FieldError
	r := f.Spec.Resources
	none := func(field, value string) {
		errs = append(errs, FieldError{
			Path: "spec.resources." + field, Value: value, Err: ErrConflict, Allowed: "nothing where gpus is 0",
			Hint: "remove it, or ask for a GPU with gpus: 1", with: "spec.resources.gpus",
		})
	}
	if r.GPUs == 0 && r.GPUMem != "" {
		none("gpuMemory", strconv.Quote(string(r.GPUMem)))
	}
	if r.GPUs == 0 && len(r.Products) > 0 {
		none("products", "")
	}
	return append(errs, twice("spec.resources.products", r.Products)...)
}

// twice reports the entries of a list that stand in it before.
func twice[T ~string](path string, list []T) []FieldError {
	var errs []FieldError
	seen := map[T]int{}
	for i, entry := range list {
		if first, again := seen[entry]; again {
			errs = append(errs, FieldError{
				Path: fmt.Sprintf("%s[%d]", path, i), Value: strconv.Quote(shorten(string(entry))), Err: ErrDuplicate,
				Hint: fmt.Sprintf("remove it: %s[%d] is the same", path, first),
			})
			continue
		}
		seen[entry] = i
	}
	return errs
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

func checkBackoff(f Function) []FieldError {
	b := f.Spec.Queue.Backoff
	if b.Initial <= b.Max {
		return nil
	}
	return []FieldError{{
		Path: "spec.queue.backoff.initial", Value: b.Initial.String(), Err: ErrConflict,
		Allowed: fmt.Sprintf("at most queue.backoff.max, which is %s", b.Max),
		Hint:    fmt.Sprintf("raise max to %s, or lower initial", b.Initial),
		with:    "spec.queue.backoff.max",
	}}
}

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
