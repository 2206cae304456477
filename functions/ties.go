package functions

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	subdomainText = regexp.MustCompile(subdomainPattern)
	qualifiedText = regexp.MustCompile(qualifiedPattern)
)

// reservedPrefix marks the labels that stoker itself sets on what it starts.
const reservedPrefix = "stoker.dev"

// checkLabels holds labels and annotations to the syntax of Kubernetes, which gets them.
func checkLabels(m Metadata) []FieldError {
	var errs []FieldError
	labels := place{}.field("metadata").field("labels")
	for _, key := range slices.Sorted(maps.Keys(m.Labels)) {
		errs = append(errs, checkLabelKey(labels.key(key), key)...)
		if value := m.Labels[key]; value != "" && !qualifiedName(value) {
			errs = append(errs, FieldError{
				Path: labels.key(key).path, Value: strconv.Quote(shorten(value)), Err: ErrValue,
				Allowed: "empty, or up to 63 letters, digits, -, _ and ., beginning and ending with a letter or digit",
				Hint:    "longer or freer text goes into metadata.annotations",
			})
		}
	}
	annotations := place{}.field("metadata").field("annotations")
	for _, key := range slices.Sorted(maps.Keys(m.Annotations)) {
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

// checkProgram are the ties within what is run, for every kind of manifest.
func checkProgram(run Runtime, own reserved) []FieldError {
	return slices.Concat(checkRunnable(run), checkPrograms(run), checkLocalPaths(run), checkEnv(run, own))
}

func checkRunnable(run Runtime) []FieldError {
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
func checkPrograms(run Runtime) []FieldError {
	var errs []FieldError
	check := func(path string, command []string) {
		if len(command) > 0 && command[0] == "" {
			errs = append(errs, FieldError{Path: path + "[0]", Value: `""`, Err: ErrValue, Allowed: "the program to run"})
		}
	}
	check("spec.runtime.command", run.Command)
	if local := run.Local; local != nil {
		check("spec.runtime.local.command", local.Command)
	}
	return errs
}

// reserved are the variables that stoker sets for what it runs: a manifest must not replace them.
type reserved struct {
	names    []string
	prefixes []string
	allowed  string // which names are left
	hint     string // what to do instead
}

// has tells whether a name is reserved.
func (r reserved) has(name string) bool {
	return slices.Contains(r.names, name) ||
		slices.ContainsFunc(r.prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// reservedEnvPrefix is that of stoker's own settings; what it runs never sees those.
const reservedEnvPrefix = "STOKER_"

// reservedGPUs say which GPUs are the holder's: a replica must not choose somebody else's. The
// last one is read by NVIDIA's container runtime.
var reservedGPUs = []string{"CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"}

// servedEnv are the variables of a model server.
var servedEnv = reserved{
	names: append([]string{"PORT"}, reservedGPUs...), prefixes: []string{reservedEnvPrefix},
	allowed: "any name but PORT, " + strings.Join(reservedGPUs, " or ") + " and those that begin with " + reservedEnvPrefix,
	hint:    "stoker sets these for the model server; ask for a fixed port with spec.runtime.port",
}

func checkEnv(run Runtime, own reserved) []FieldError {
	var errs []FieldError
	first := map[string]int{}
	list := place{}.field("spec").field("runtime").field("env")
	for i, env := range run.Env {
		at := list.entry(i)
		if before, twice := first[env.Name]; twice && env.Name != "" {
			errs = append(errs, FieldError{
				Path: at.field("name").path, Value: strconv.Quote(env.Name), Err: ErrDuplicate,
				Hint: fmt.Sprintf("%s has the same name", list.entry(before).path),
			})
		}
		first[env.Name] = i
		if own.has(env.Name) {
			errs = append(errs, FieldError{
				Path: at.field("name").path, Value: strconv.Quote(env.Name), Err: ErrValue,
				Allowed: own.allowed, Hint: own.hint,
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

// checkWishes refuses wishes about GPUs where none is taken, and wishes twice made. The field is
// the one that says how many are.
func checkWishes(field string, gpus int, memory Quantity, products []string) []FieldError {
	var errs []FieldError
	none := func(wish, value string) {
		errs = append(errs, FieldError{
			Path: "spec.resources." + wish, Value: value, Err: ErrConflict, Allowed: "nothing where " + field + " is 0",
			Hint: "remove it, or ask for a GPU with " + field + ": 1", with: "spec.resources." + field,
		})
	}
	if gpus == 0 && memory != "" {
		none("gpuMemory", strconv.Quote(string(memory)))
	}
	if gpus == 0 && len(products) > 0 {
		none("products", "")
	}
	return append(errs, twice("spec.resources.products", products)...)
}

// checkPauses refuses a back-off that begins above its own end. The field is its path within spec.
func checkPauses(field string, b Backoff) []FieldError {
	if b.Initial <= b.Max {
		return nil
	}
	return []FieldError{{
		Path: "spec." + field + ".initial", Value: b.Initial.String(), Err: ErrConflict,
		Allowed: fmt.Sprintf("at most %s.max, which is %s", field, b.Max),
		Hint:    fmt.Sprintf("raise max to %s, or lower initial", b.Initial),
		with:    "spec." + field + ".max",
	}}
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
