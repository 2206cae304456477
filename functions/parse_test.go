package functions_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stoker.dev/stoker/functions"
)

var update = flag.Bool("update", false, "write the golden files anew")

// separator stands between a bad manifest and the text of its errors.
const separator = "\n----\n"

// manifests lists the input files of a folder, and fails if there are none.
func manifests(t testing.TB, folder string) []string {
	t.Helper()
	var files []string
	for _, ext := range []string{"*.yaml", "*.json"} {
		found, err := filepath.Glob(filepath.Join("testdata", folder, ext))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		t.Fatalf("testdata/%s holds no manifests", folder)
	}
	return files
}

func readFile(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestValidManifests(t *testing.T) { validManifests(t, "valid", functions.Parse) }

// validManifests compares what the manifests of a folder are read as with the golden files.
func validManifests[M any](t *testing.T, folder string, parse func(string, []byte) ([]M, error)) {
	for _, file := range manifests(t, folder) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			got, err := parse(file, readFile(t, file))
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.MarshalIndent(got, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden := file + ".golden"
			if *update {
				writeFile(t, golden, string(text)+"\n")
			}
			if want := string(readFile(t, golden)); string(text)+"\n" != want {
				t.Errorf("normalised form differs from %s:\n%s", golden, text)
			}
		})
	}
}

func TestInvalidManifests(t *testing.T) { invalidManifests(t, "invalid", functions.Parse) }

// invalidManifests compares the errors of the manifests of a folder with those written below them.
func invalidManifests[M any](t *testing.T, folder string, parse func(string, []byte) ([]M, error)) {
	for _, file := range manifests(t, folder) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			input, want, found := strings.Cut(string(readFile(t, file)), separator)
			if !found && !*update {
				t.Fatalf("no line ---- with the expected errors after it")
			}
			got, err := parse(filepath.Base(file), []byte(input))
			if err == nil {
				t.Fatalf("accepted as %v", got)
			}
			if *update {
				writeFile(t, file, strings.TrimRight(input, "\n")+separator+err.Error()+"\n")
				return
			}
			if got := err.Error() + "\n"; got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
			checkErrors(t, filepath.Base(file), err)
		})
	}
}

func writeFile(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// checkErrors holds an error of Parse to what it promises: a list, in order, and of every
// entry the place, the fault, and what is allowed or what to do.
func checkErrors(t testing.TB, file string, err error) {
	t.Helper()
	var list functions.Errors
	if !errors.As(err, &list) || len(list) == 0 || !errors.Is(err, list[len(list)-1].Err) {
		t.Fatalf("not a list in which errors.Is finds faults: %T %v", err, err)
	}
	for _, fe := range list {
		wholeDocument := errors.Is(fe, functions.ErrSyntax) || errors.Is(fe, functions.ErrTooLarge) ||
			errors.Is(fe, functions.ErrType) || errors.Is(fe, functions.ErrRequired) || errors.Is(fe, functions.ErrUnsupported)
		switch {
		case fe.File != file, fe.Line < 1:
			t.Errorf("no place: %#v", fe)
		case fe.Path == "" && !wholeDocument:
			t.Errorf("no path: %#v", fe)
		case fe.Err == "":
			t.Errorf("no fault: %#v", fe)
		case fe.Allowed == "" && fe.Hint == "":
			t.Errorf("says neither what is allowed nor what to do: %#v", fe)
		}
	}
}

func TestParseFaults(t *testing.T) {
	head := "apiVersion: stoker.dev/v1\nkind: Function\n"
	body := "metadata: {name: a}\nspec: {runtime: {image: a}}\n"
	deep := strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)
	for name, c := range map[string]struct {
		file, input string
		want        functions.Fault
	}{
		"nothing":             {"a.yaml", "# nothing here\n---\n", functions.ErrRequired},
		"broken yaml":         {"a.yaml", "a: [", functions.ErrSyntax},
		"tabs":                {"a.yaml", "a:\n\tb: 1", functions.ErrSyntax},
		"broken json":         {"a.json", `{"kind": "Function",}`, functions.ErrSyntax},
		"half a json":         {"a.json", `{"kind": {`, functions.ErrSyntax},
		"yaml in a json file": {"a.json", head + body, functions.ErrSyntax},
		"not utf-8":           {"a.yaml", "kind: \xff", functions.ErrSyntax},
		"deep json":           {"a.json", deep, functions.ErrTooLarge},
		"large input":         {"a.yaml", strings.Repeat("#", functions.MaxInputBytes+1), functions.ErrTooLarge},
		"large manifest":      {"a.yaml", head + "metadata:\n  name: a\n  annotations:\n" + large(), functions.ErrTooLarge},
		"alias bomb":          {"a.yaml", head + "metadata: {name: a}\nspec: {runtime: {local: {command: " + bomb() + "}}}", functions.ErrTooLarge},
		"many documents":      {"a.yaml", strings.Repeat("---\n{}\n", functions.MaxDocuments+1), functions.ErrTooLarge},
		"a text":              {"a.yaml", "Function", functions.ErrType},
		"a list":              {"a.json", "[]", functions.ErrType},
		"another kind":        {"a.yaml", "apiVersion: apps/v1\nkind: Deployment\n", functions.ErrUnsupported},
		"no kind":             {"a.yaml", "apiVersion: stoker.dev/v1\n" + body, functions.ErrRequired},
		"merge key":           {"a.yaml", head + "metadata: {name: a, <<: {namespace: b}}\n", functions.ErrUnsupported},
		"custom tag":          {"a.yaml", head + "metadata: !mine {name: a}\n", functions.ErrUnsupported},
		"same name twice":     {"a.yaml", head + body + "---\n" + head + body, functions.ErrDuplicate},
		"same key twice":      {"a.yaml", head + head + body, functions.ErrDuplicate},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := functions.Parse(c.file, []byte(c.input))
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			checkErrors(t, c.file, err)
		})
	}
}

// large is annotations that are each within their limit, and together above the manifest's.
func large() string {
	var b strings.Builder
	for i := range 8 {
		fmt.Fprintf(&b, "    a%d: %s\n", i, strings.Repeat("x", functions.MaxManifestBytes/7))
	}
	return b.String()
}

// bomb is a list of a few KiB that is a MiB once its aliases are written out.
func bomb() string {
	return "[&a " + strings.Repeat("x", 2048) + strings.Repeat(", *a", 512) + "]"
}

// TestManyErrors holds the answer to a hostile input to a size that can be read.
func TestManyErrors(t *testing.T) {
	var b strings.Builder
	for i := range functions.MaxErrors + 50 {
		fmt.Fprintf(&b, "unknown%d: 1\n", i)
	}
	b.WriteString("apiVersion: stoker.dev/v1\nkind: Function\nmetadata: {name: a}\nspec: {runtime: {image: a}}\n")
	_, err := functions.Parse("a.yaml", []byte(b.String()))
	var list functions.Errors
	if !errors.As(err, &list) || len(list) != functions.MaxErrors+1 {
		t.Fatalf("got %d errors", len(list))
	}
	if last := list[functions.MaxErrors]; last.Value != "50 more errors" || last.Line != functions.MaxErrors+1 {
		t.Errorf("the list ends with %v", last)
	}
	checkErrors(t, "a.yaml", err)
}

// TestAliasCycle holds the decoder to ending where YAML does not.
func TestAliasCycle(t *testing.T) {
	for _, input := range []string{"&a {metadata: *a, spec: *a}", "&a [*a, *a]", "kind: &a\n  kind: *a\n"} {
		_, err := functions.Parse("a.yaml", []byte(input))
		if err == nil {
			t.Fatalf("accepted %s", input)
		}
		checkErrors(t, "a.yaml", err)
	}
}

// TestParseJSONBeyond16Bits reads what YAML's parser would refuse: JSON's surrogate pairs.
func TestParseJSONBeyond16Bits(t *testing.T) {
	const input = `{"apiVersion":"stoker.dev/v1","kind":"Function","metadata":{"name":"a","annotations":{"a":"\ud83d\udd25 \/"}},"spec":{"runtime":{"image":"a"}}}`
	for _, file := range []string{"a.json", "-"} {
		got, err := functions.Parse(file, []byte(input))
		if err != nil {
			t.Fatal(err)
		}
		if text := got[0].Metadata.Annotations["a"]; text != "\U0001f525 /" {
			t.Errorf("%s: read %q", file, text)
		}
	}
}

// TestWrittenOutIsKept holds Parse to never replacing by a default what a manifest says.
func TestWrittenOutIsKept(t *testing.T) {
	const head = "apiVersion: stoker.dev/v1\nkind: Function\nmetadata: {name: a}\nspec:\n  runtime: {image: a}\n  "
	for _, c := range []struct{ field, path, hint string }{
		{"queue: {attempts: 0}", "spec.queue.attempts", "its default, 3"},
		{"queue: {deadline: 0s}", "spec.queue.deadline", "its default, 10m"},
		{"results: {record: ''}", "spec.results.record", "its default, \"auto\""},
		{"placement: {pool: ''}", "spec.placement.pool", "its default, \"default\""},
		{"scaling: {max: 0}", "spec.scaling.max", "pause"},
		{"scaling: {waitSLO: {p50: 0s}}", "spec.scaling.waitSLO.p50", ""},
	} {
		_, err := functions.Parse("a.yaml", []byte(head+c.field))
		var list functions.Errors
		if !errors.As(err, &list) || len(list) != 1 || list[0].Path != c.path || !strings.Contains(list[0].Hint, c.hint) || list[0].Line != 6 {
			t.Errorf("%s: got %v", c.field, err)
		}
	}
	kept, err := functions.Parse("a.yaml", []byte(head+"resources: {gpus: 0}\n  overload: {shed: []}\n  scaling: {keepAlive: 0s}"))
	if err != nil {
		t.Fatal(err)
	}
	spec := kept[0].Spec
	if spec.Resources.GPUs != 0 || len(spec.Overload.Shed) != 0 || spec.Scaling.KeepAlive.Auto() || spec.Scaling.KeepAlive.D() != 0 {
		t.Errorf("replaced a zero that has a meaning: %+v", spec)
	}
}

// TestSecretsAreNotShown keeps what may be a secret out of messages.
func TestSecretsAreNotShown(t *testing.T) {
	const secret = "8675309"
	for _, value := range []string{secret, "[" + secret + "]", `"` + secret + `\0"`, "'" + secret + strings.Repeat("x", 40<<10) + "'"} {
		_, err := functions.Parse("a.yaml", []byte("apiVersion: stoker.dev/v1\nkind: Function\nmetadata: {name: a}\nspec: {runtime: {image: a, env: [{name: A, value: "+value+"}]}}"))
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("value %.20s: %v", value, err)
		}
	}
}
