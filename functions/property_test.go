package functions_test

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
)

// The default of a default is itself, and what was given is still there.
func TestDefaultIsIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := anyFunction(t)
		once := functions.Default(f)
		if twice := functions.Default(once); !reflect.DeepEqual(once, twice) {
			t.Fatalf("once:  %+v\ntwice: %+v", once, twice)
		}
		if errs := functions.Validate(once); errs != nil {
			t.Fatalf("a valid function is refused: %v", errs)
		}
	})
}

// What is written as JSON or YAML reads back as the same function.
func TestParseReadsWhatMarshalWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { readsBack(t, functions.Default(anyFunction(t)), functions.Parse) })
}

func readsBack[M any](t *rapid.T, want M, parse func(string, []byte) ([]M, error)) {
	inJSON, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string][]byte{"f.json": inJSON}
	if inYAML, ok := writeYAML[M](inJSON); ok {
		forms["f.yaml"] = inYAML
	}
	for file, data := range forms {
		got, err := parse(file, data)
		if err != nil {
			t.Fatalf("%s: %v\n%s", file, err, data)
		}
		if len(got) != 1 || !same(got[0], want) {
			t.Fatalf("%s: got %+v\nwant %+v", file, got, want)
		}
	}
}

// writeYAML turns JSON into YAML with a library, and tells whether the library reads back
// what it wrote: control characters and YAML's odder line breaks it does not.
func writeYAML[M any](inJSON []byte) ([]byte, bool) {
	var tree, again any
	if yaml.Unmarshal(inJSON, &tree) != nil {
		return nil, false
	}
	inYAML, err := yaml.Marshal(tree)
	if err != nil || yaml.Unmarshal(inYAML, &again) != nil {
		return nil, false
	}
	readBack, err := json.Marshal(again)
	if err != nil {
		return nil, false
	}
	var want, got M
	return inYAML, json.Unmarshal(inJSON, &want) == nil && json.Unmarshal(readBack, &got) == nil && same(got, want)
}

// same compares by what is written: an empty list that may be left out equals none.
func same[M any](a, b M) bool {
	inA, errA := json.Marshal(a)
	inB, errB := json.Marshal(b)
	return errA == nil && errB == nil && string(inA) == string(inB)
}

// A revision does not depend on whether defaults are written out, nor on the order in which
// a map was filled.
func TestRevisionIsOfTheContent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := anyFunction(t)
		want := functions.Revision(f.Spec)
		if got := functions.Revision(functions.Default(f).Spec); got != want {
			t.Fatalf("with defaults %s, without %s", got, want)
		}
		seed := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		shuffled, err := json.Marshal(reordered(t, functions.Default(f), seed))
		if err != nil {
			t.Fatal(err)
		}
		got, err := functions.Parse("f.json", shuffled)
		if err != nil {
			t.Fatal(err)
		}
		if r := functions.Revision(got[0].Spec); r != want {
			t.Fatalf("read in another order %s, want %s", r, want)
		}
	})
}

// reordered is f as an object whose keys stand in a random order.
func reordered(t *rapid.T, f functions.Function, seed *rand.Rand) object {
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	return shuffle(tree, seed).(object)
}

// object is a JSON object with its keys in an order of their own.
type object struct {
	keys   []string
	values map[string]any
}

func (o object) MarshalJSON() ([]byte, error) {
	out := []byte("{")
	for i, key := range o.keys {
		k, err := json.Marshal(key)
		if err != nil {
			return nil, err
		}
		v, err := json.Marshal(o.values[key])
		if err != nil {
			return nil, err
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, k...), ':'), v...)
	}
	return append(out, '}'), nil
}

func shuffle(v any, seed *rand.Rand) any {
	switch v := v.(type) {
	case map[string]any:
		o := object{values: map[string]any{}}
		for _, key := range sortedKeys(v) {
			o.keys, o.values[key] = append(o.keys, key), shuffle(v[key], seed)
		}
		seed.Shuffle(len(o.keys), func(i, j int) { o.keys[i], o.keys[j] = o.keys[j], o.keys[i] })
		return o
	case []any:
		for i := range v {
			v[i] = shuffle(v[i], seed)
		}
	}
	return v
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
