package functions_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"stoker.dev/stoker/functions"
)

// mutations change the lines of a manifest in the ways that people and merges do.
var mutations = []struct {
	name  string
	apply func(lines []string, i int, r *rand.Rand) []string
}{
	{"line removed", func(l []string, i int, _ *rand.Rand) []string { return slices.Delete(l, i, i+1) }},
	{"line doubled", func(l []string, i int, _ *rand.Rand) []string { return slices.Insert(l, i, l[i]) }},
	{"indented", func(l []string, i int, _ *rand.Rand) []string { l[i] = " " + l[i]; return l }},
	{"outdented", func(l []string, i int, _ *rand.Rand) []string { l[i] = strings.TrimPrefix(l[i], "  "); return l }},
	{"tab", func(l []string, i int, _ *rand.Rand) []string { l[i] = "\t" + l[i]; return l }},
	{"cut off", func(l []string, i int, r *rand.Rand) []string { l[i] = l[i][:r.IntN(len(l[i])+1)]; return l[:i+1] }},
	{"letter lost", func(l []string, i int, r *rand.Rand) []string { l[i] = dropLetter(l[i], r); return l }},
	{"byte changed", func(l []string, i int, r *rand.Rand) []string { l[i] = changeByte(l[i], r); return l }},
	{"field added", func(l []string, i int, _ *rand.Rand) []string {
		return slices.Insert(l, i, l[i][:len(l[i])-len(strings.TrimLeft(l[i], " "))]+"surprise: 1")
	}},
	{"value replaced", func(l []string, i int, r *rand.Rand) []string { l[i] = replaceValue(l[i], r); return l }},
	{"lines swapped", func(l []string, i int, r *rand.Rand) []string {
		j := r.IntN(len(l))
		l[i], l[j] = l[j], l[i]
		return l
	}},
}

func dropLetter(s string, r *rand.Rand) string {
	if s == "" {
		return s
	}
	i := r.IntN(len(s))
	return s[:i] + s[i+1:]
}

func changeByte(s string, r *rand.Rand) string {
	if s == "" {
		return s
	}
	i := r.IntN(len(s))
	return s[:i] + string([]byte{byte(r.IntN(256))}) + s[i+1:]
}

// junk is what stands where something else belongs.
var junk = []string{
	"", "null", "true", "-1", "0", "3.14", "1e400", "99999999999999999999", "[]", "{}", "[[]]", "{a: {b: c}}", "'", `"`, "&a", "*a", "!!binary aGk=",
	"2001-01-01", "0x10", "0o7", "1_000", ".inf", "| x", "2 s", "-5m", "8 GB", "\x00", "\xff", "%", "@", "- - -", "? :", "<<: *a", strings.Repeat("x", 70_000),
}

func replaceValue(s string, r *rand.Rand) string {
	if key, _, found := strings.Cut(s, ":"); found {
		return key + ": " + junk[r.IntN(len(junk))]
	}
	return junk[r.IntN(len(junk))]
}

// TestThousandMalformedManifests reads a thousand damaged manifests. Each is refused with
// errors that say where, or is a function; and what is accepted is accepted by the schema
// too, so that no unknown field slips through.
func TestThousandMalformedManifests(t *testing.T) {
	damaged(t, "valid", compiled(t, functions.Schema), functions.Parse, func(f functions.Function) { checkAccepted(t, f) })
}

// damaged reads a thousand manifests that mutations made of those in a folder.
func damaged[M any](t *testing.T, folder string, schema *validator.Schema, parse func(string, []byte) ([]M, error), accept func(M)) {
	const total = 1000
	files := manifests(t, folder)
	r := rand.New(rand.NewPCG(1, 2))
	refused, accepted := 0, 0
	for n := range total {
		source := files[n%len(files)]
		m := mutations[n%len(mutations)]
		lines := strings.Split(strings.TrimRight(string(readFile(t, source)), "\n"), "\n")
		input := strings.Join(m.apply(lines, r.IntN(len(lines)), r), "\n")
		name := fmt.Sprintf("%d %s %s", n, m.name, source)
		got, err := parse(source, []byte(input))
		if err != nil {
			refused++
			checkErrors(t, source, err)
			continue
		}
		accepted++
		for _, doc := range generic(t, source, []byte(input)) {
			if err := schema.Validate(doc); err != nil {
				t.Errorf("%s: accepted, but not by the schema: %v\n%s", name, err, input)
			}
		}
		for _, m := range got {
			accept(m)
		}
	}
	t.Logf("%d refused, %d accepted", refused, accepted)
	if refused < total/3 || accepted < total/50 {
		t.Errorf("%d refused and %d accepted of %d: the mutations test one side only", refused, accepted, total)
	}
}
