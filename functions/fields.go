package functions

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// field is one field of a type as a manifest names it.
type field struct {
	name  string
	index int
}

// fieldsOf lists the fields of a struct type in their order. Every field has a JSON name.
func fieldsOf(t reflect.Type) []field {
	out := make([]field, t.NumField())
	for i := range out {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		out[i] = field{name, i}
	}
	return out
}

func fieldNames(t reflect.Type) []string {
	fields := fieldsOf(t)
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return names
}

// place is where a value stands: as written, and as rules name it.
type place struct {
	path string // spec.runtime.env[2].name
	kind string // spec.runtime.env[].name
}

// field is the place of a field, which need not be one that exists.
func (p place) field(name string) place {
	if !plainName.MatchString(name) {
		name = strconv.Quote(shorten(name))
	}
	return place{joinPath(p.path, name), joinPath(p.kind, name)}
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// entry is the place of one entry of a list.
func (p place) entry(i int) place { return place{fmt.Sprintf("%s[%d]", p.path, i), p.kind + "[]"} }

// key is the place of one entry of a map.
func (p place) key(key string) place {
	return place{fmt.Sprintf("%s[%q]", p.path, shorten(key)), p.kind + "[]"}
}

func joinPath(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// parentPath is the path without its last field or entry; a key in brackets may hold dots.
func parentPath(path string) string {
	if strings.HasSuffix(path, "]") {
		return path[:strings.LastIndex(path, "[")]
	}
	return path[:max(0, strings.LastIndex(path, "."))]
}

// walk calls visit for every value in v, parents first, lists and maps in order. What a nil
// pointer would hold is not visited.
func walk(v reflect.Value, at place, visit func(reflect.Value, place)) {
	if v.Kind() == reflect.Pointer {
		if !v.IsNil() {
			walk(v.Elem(), at, visit)
		}
		return
	}
	visit(v, at)
	switch v.Kind() {
	case reflect.Struct:
		for _, f := range fieldsOf(v.Type()) {
			walk(v.Field(f.index), at.field(f.name), visit)
		}
	case reflect.Slice:
		for i := range v.Len() {
			walk(v.Index(i), at.entry(i), visit)
		}
	case reflect.Map: // every map of a manifest is map[string]string
		m := v.Interface().(map[string]string)
		for _, key := range slices.Sorted(maps.Keys(m)) {
			walk(reflect.ValueOf(m[key]), at.key(key), visit)
		}
	}
}

// walkType calls visit for the type of every field there can be, parents first.
func walkType(t reflect.Type, path string, visit func(reflect.Type, string)) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	visit(t, path)
	switch t.Kind() {
	case reflect.Struct:
		for _, f := range fieldsOf(t) {
			walkType(t.Field(f.index).Type, joinPath(path, f.name), visit)
		}
	case reflect.Slice, reflect.Map:
		walkType(t.Elem(), path+"[]", visit)
	}
}
