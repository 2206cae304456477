package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"stoker.dev/stoker/deploy"
	"stoker.dev/stoker/functions"
)

// examples reads the manifests that deploy/ holds, by file name.
func examples(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := fs.Glob(deploy.Examples, "examples/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	texts := map[string][]byte{}
	for _, file := range files {
		if texts[file], err = fs.ReadFile(deploy.Examples, file); err != nil {
			t.Fatal(err)
		}
	}
	return texts
}

// parsedExamples are the functions of all examples.
func parsedExamples(t *testing.T) []functions.Function {
	t.Helper()
	var all []functions.Function
	for file, text := range examples(t) {
		fns, err := functions.Parse(file, text)
		if err != nil || len(fns) == 0 {
			t.Errorf("%s: %d functions, %v", file, len(fns), err)
		}
		all = append(all, fns...)
	}
	return all
}

func TestExamplesParseAndSayWhatTheyShow(t *testing.T) {
	for file, text := range examples(t) {
		if !strings.HasPrefix(string(text), "# ") {
			t.Errorf("%s does not begin by saying what it shows", file)
		}
	}
	if len(parsedExamples(t)) == 0 {
		t.Error("no functions")
	}
}

// TestExamplesAgree deploys them in thought, all at once: names are used once and what one
// refers to is there.
func TestExamplesAgree(t *testing.T) {
	seen := map[functions.Key]bool{}
	for _, f := range parsedExamples(t) {
		if seen[f.Key()] {
			t.Errorf("%s is in two examples", f.Key())
		}
		seen[f.Key()] = true
	}
	for _, f := range parsedExamples(t) {
		fallback := functions.Key{Namespace: f.Metadata.Namespace, Name: f.Spec.Overload.Fallback}
		if fallback.Name != "" && !seen[fallback] {
			t.Errorf("%s falls back to %s, which no example has", f.Key(), fallback)
		}
	}
}

// TestExamplesShowWhatThereIs wants every protocol, GPUs and none, an image, a secret and a fallback
// among them: an example per thing a user would want.
func TestExamplesShowWhatThereIs(t *testing.T) {
	shown := map[string]bool{}
	for _, f := range parsedExamples(t) {
		r := f.Spec.Runtime
		shown[string(r.Protocol)] = true
		shown["image"] = shown["image"] || r.Image != ""
		shown["no GPU"] = shown["no GPU"] || f.Spec.Resources.GPUs == 0
		shown["products"] = shown["products"] || len(f.Spec.Resources.Products) > 0
		shown["fallback"] = shown["fallback"] || f.Spec.Overload.Fallback != ""
		for _, e := range r.Env {
			shown["secret"] = shown["secret"] || e.ValueFrom != nil
		}
		if r.Local == nil {
			t.Errorf("%s runs on no laptop: it has no runtime.local", f.Key())
		}
	}
	for _, want := range []string{"http", "openai", "cloudevents", "image", "no GPU", "products", "fallback", "secret"} {
		if !shown[want] {
			t.Errorf("no example shows %s", want)
		}
	}
}

func TestExamplesMatchTheSchema(t *testing.T) {
	schema := manifestSchema(t)
	for file, text := range examples(t) {
		dec := yaml.NewDecoder(bytes.NewReader(text))
		for n := 0; ; n++ {
			var doc any
			err := dec.Decode(&doc)
			if errors.Is(err, io.EOF) && n > 0 {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if err := schema.Validate(plain(t, doc)); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

// manifestSchema is what `stoker schema` prints, as an independent validator understands it.
func manifestSchema(t *testing.T) *validator.Schema {
	t.Helper()
	text, err := functions.Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := validator.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource("function.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("function.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// plain turns what YAML made into what the validator wants.
func plain(t *testing.T, doc any) any {
	t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	out, err := validator.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}
