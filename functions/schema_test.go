package functions_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"stoker.dev/stoker/functions"
)

// compiled is the schema as an independent validator understands it.
func compiled(t testing.TB, make func() ([]byte, error)) *validator.Schema {
	t.Helper()
	text, err := make()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := validator.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	c.DefaultDraft(validator.Draft2020)
	if err := c.AddResource("function.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("function.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// generic reads the documents of an input as a validator wants them.
func generic(t testing.TB, file string, data []byte) []any {
	t.Helper()
	var docs []any
	decode := yaml.NewDecoder(bytes.NewReader(data)).Decode
	if strings.HasSuffix(file, ".json") {
		decode = json.NewDecoder(bytes.NewReader(data)).Decode
	}
	for {
		var doc any
		if err := decode(&doc); errors.Is(err, io.EOF) {
			return docs
		} else if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		text, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		value, err := validator.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if value != nil {
			docs = append(docs, value)
		}
	}
}

func TestSchemaAcceptsValidManifests(t *testing.T) {
	validInSchema(t, "valid", compiled(t, functions.Schema))
}

func validInSchema(t *testing.T, folder string, schema *validator.Schema) {
	for _, file := range manifests(t, folder) {
		docs := generic(t, file, readFile(t, file))
		if len(docs) == 0 {
			t.Errorf("%s: no documents", file)
		}
		for _, doc := range docs {
			if err := schema.Validate(doc); err != nil {
				t.Errorf("%s: %v", filepath.Base(file), err)
			}
		}
	}
}

// TestSchemaHasEveryField walks the Go types and wants each field in the schema, described,
// and wants nothing in the schema beside them.
func TestSchemaHasEveryField(t *testing.T) {
	everyField(t, reflect.TypeFor[functions.Function](), functions.Schema, 50)
}

func everyField(t *testing.T, typ reflect.Type, schema func() ([]byte, error), least int) {
	text, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	if n := compareFields(t, typ, root, typ.Name()); n < least {
		t.Errorf("compared %d fields, want all of them", n)
	}
}

func compareFields(t *testing.T, typ reflect.Type, schema map[string]any, path string) (n int) {
	switch typ.Kind() {
	case reflect.Pointer:
		return compareFields(t, typ.Elem(), schema, path)
	case reflect.Slice:
		return compareFields(t, typ.Elem(), schema["items"].(map[string]any), path+"[]")
	case reflect.Struct:
	default:
		return 0
	}
	if schema["additionalProperties"] != false {
		t.Errorf("%s: takes unknown fields", path)
	}
	properties, _ := schema["properties"].(map[string]any)
	if len(properties) != typ.NumField() {
		t.Errorf("%s: %d properties for %d fields", path, len(properties), typ.NumField())
	}
	for i := range typ.NumField() {
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		property, found := properties[name].(map[string]any)
		if !found {
			t.Errorf("%s.%s: not in the schema", path, name)
			continue
		}
		if property["description"] == nil {
			t.Errorf("%s.%s: no description; comment the field where it is declared", path, name)
		}
		n += 1 + compareFields(t, typ.Field(i).Type, property, path+"."+name)
	}
	return n
}

// refusal is how one kind of manifest is refused: by its schema, and by its parser.
type refusal struct {
	schema *validator.Schema
	parse  func(file string, data []byte) error
}

func functionRefusal(t *testing.T) refusal {
	return refusal{compiled(t, functions.Schema), func(file string, data []byte) error {
		_, err := functions.Parse(file, data)
		return err
	}}
}

// TestSchemaAndParseRefuseTheSame gives both a full manifest with one thing wrong.
func TestSchemaAndParseRefuseTheSame(t *testing.T) {
	const full = "testdata/valid/full.yaml"
	refuse := functionRefusal(t)
	refuse.each(t, full, map[string]any{
		"apiVersion": "v2", "kind": "Job", "metadata.name": "A", "spec.runtime.protocol": "grpc", "spec.runtime.port": 65536,
		"spec.runtime.path": "v1", "spec.runtime.ready.timeout": 5, "spec.resources.gpus": -1, "spec.resources.cpu": "two",
		"spec.scaling.max": 0, "spec.scaling.keepAlive": "5", "spec.scaling.budget.action": "stop", "spec.scaling.budget.perDay": "20 USD", "spec.queue.depth.batch": 10_001, "spec.results.record": "all",
		"spec.overload.shed": []string{"batch", "batch"}, "spec.placement.pool": "", "spec.scaling.min": "1", "metadata.labels": []string{},
		"spec.scaling.waitSLO": map[string]any{"p50": "1s", "p95": "1s"}, "spec.runtime": map[string]any{}, "spec.resources.gpuMemory": "8GB",
		"spec.runtime.local.command": []string{}, "spec.runtime.command": "vllm serve", "spec.runtime.args": []any{1},
		"spec.runtime.env": []any{map[string]any{"name": "A", "value": "1", "valueFrom": map[string]any{}}},
	})
	for _, override := range []string{"command", "args"} {
		changed := tree(t, full)
		runtime := at(changed, "spec.runtime")
		delete(runtime, "image")
		delete(runtime, map[string]string{"command": "args", "args": "command"}[override])
		refuse.both(t, changed, override+" without an image")
	}
}

// each refuses a full manifest with an unknown field in every object, and with each of the values.
func (r refusal) each(t *testing.T, full string, wrong map[string]any) {
	t.Helper()
	whole := tree(t, full)
	for path := range objects(whole, "") {
		changed := clone(t, whole)
		at(changed, path)["unknownField"] = "x"
		r.both(t, changed, "an unknown field in "+path)
	}
	for path, value := range wrong {
		changed := clone(t, whole)
		parent, last := changed, path
		if i := strings.LastIndex(path, "."); i >= 0 {
			parent, last = at(changed, path[:i]), path[i+1:]
		}
		if _, found := parent[last]; !found {
			t.Fatalf("%s has no %s to change", full, path)
		}
		parent[last] = value
		r.both(t, changed, path)
	}
}

// tree is a manifest's file as YAML reads it.
func tree(t *testing.T, file string) map[string]any {
	t.Helper()
	var out map[string]any
	if err := yaml.Unmarshal(readFile(t, file), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func (r refusal) both(t *testing.T, tree map[string]any, what string) {
	t.Helper()
	text, err := yaml.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	if r.parse("f.yaml", text) == nil {
		t.Errorf("the parser accepts %s", what)
	}
	if r.schema.Validate(generic(t, "f.yaml", text)[0]) == nil {
		t.Errorf("the schema accepts %s", what)
	}
}

// objects lists the paths of the objects in a tree that have fixed fields.
func objects(tree map[string]any, path string) map[string]bool {
	out := map[string]bool{path: true}
	for name, child := range tree {
		if object, ok := child.(map[string]any); ok && name != "labels" && name != "annotations" {
			for p := range objects(object, strings.TrimPrefix(path+"."+name, ".")) {
				out[p] = true
			}
		}
	}
	return out
}

func at(tree map[string]any, path string) map[string]any {
	if path == "" {
		return tree
	}
	for name := range strings.SplitSeq(path, ".") {
		tree = tree[name].(map[string]any)
	}
	return tree
}

func clone(t *testing.T, tree map[string]any) (out map[string]any) {
	t.Helper()
	text, err := yaml.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
