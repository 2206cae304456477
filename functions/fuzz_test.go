package functions_test

import (
	"reflect"
	"strings"
	"testing"

	"encoding/json"

	"stoker.dev/stoker/functions"
)

// FuzzParse wants of any input an error that says where, or functions that are complete,
// valid and read back as they are.
func FuzzParse(f *testing.F) {
	fuzzParse(f, []string{"valid", "invalid"}, functions.Parse, checkAccepted)
}

// fuzzParse begins with the manifests of the folders.
func fuzzParse[M any](f *testing.F, folders []string, parse func(string, []byte) ([]M, error), accept func(*testing.T, M)) {
	for _, folder := range folders {
		for _, file := range manifests(f, folder) {
			input, _, _ := strings.Cut(string(readFile(f, file)), separator)
			f.Add(input, strings.HasSuffix(file, ".json"))
		}
	}
	f.Fuzz(func(t *testing.T, input string, asJSON bool) {
		file := "fuzz.yaml"
		if asJSON {
			file = "fuzz.json"
		}
		got, err := parse(file, []byte(input))
		if err != nil {
			checkErrors(t, file, err)
			return
		}
		for _, m := range got {
			accept(t, m)
		}
	})
}

// checkAccepted holds a function that Parse returned to what Parse promises.
func checkAccepted(t *testing.T, fn functions.Function) {
	t.Helper()
	complete(t, fn, functions.Default, functions.Validate, functions.Parse)
}

// complete holds a manifest to being complete and valid, and to reading back as it is.
func complete[M any](t *testing.T, m M, fill func(M) M, validate func(M) functions.Errors, parse func(string, []byte) ([]M, error)) {
	t.Helper()
	if again := fill(m); !reflect.DeepEqual(again, m) {
		t.Errorf("not complete: %+v", m)
	}
	if errs := validate(m); errs != nil {
		t.Errorf("not valid: %v", errs)
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	again, err := parse("again.json", text)
	if err != nil {
		t.Fatalf("does not read back: %v\n%s", err, text)
	}
	if len(again) != 1 || !same(again[0], m) {
		t.Errorf("reads back as %+v, not %+v", again, m)
	}
}

// FuzzQuantity wants amounts that agree with each other and never wrap around.
func FuzzQuantity(f *testing.F) {
	for _, s := range []string{"", "2", "500m", "8Gi", "1.5T", "0.5m", "99999Ti", "8GB", "-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q := functions.Quantity(s)
		bytes, milli := q.Bytes(), q.Milli()
		if milli < 0 || bytes != (uint64(milli)+999)/1000 {
			t.Errorf("%q: %d bytes of %d thousandths", s, bytes, milli)
		}
	})
}
