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
	for _, folder := range []string{"valid", "invalid"} {
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
		got, err := functions.Parse(file, []byte(input))
		if err != nil {
			checkErrors(t, file, err)
			return
		}
		for _, fn := range got {
			checkAccepted(t, fn)
		}
	})
}

// checkAccepted holds a function that Parse returned to what Parse promises.
func checkAccepted(t *testing.T, fn functions.Function) {
	t.Helper()
	if again := functions.Default(fn); !reflect.DeepEqual(again, fn) {
		t.Errorf("not complete: %+v", fn)
	}
	if errs := functions.Validate(fn); errs != nil {
		t.Errorf("not valid: %v", errs)
	}
	text, err := json.Marshal(fn)
	if err != nil {
		t.Fatal(err)
	}
	again, err := functions.Parse("again.json", text)
	if err != nil {
		t.Fatalf("does not read back: %v\n%s", err, text)
	}
	if len(again) != 1 || !same(again[0], fn) {
		t.Errorf("reads back as %+v, not %+v", again, fn)
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
