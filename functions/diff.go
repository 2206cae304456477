package functions

import (
	"fmt"
	"reflect"
	"strings"
)

// Change is one field that two manifests differ in. Values are as they may be shown: those of the
// environment, which may be secrets, are hidden.
type Change struct {
	Path  string `json:"path"`          // such as spec.scaling.max
	Old   string `json:"old,omitempty"` // empty: not there
	New   string `json:"new,omitempty"` // empty: not there any more
	Rolls bool   `json:"rolls"`         // running replicas are replaced for it
}

// leaf is a value without fields of its own.
type leaf struct {
	kind  string // its rule's path
	value string // to compare
	shown string
}

// Diff lists what differs between two manifests, in the order of the fields: first what both or
// the new one have, then what only the old one has.
func Diff(old, next Function) []Change {
	before, order := leaves(old)
	after, fresh := leaves(next)
	var out []Change
	for _, path := range fresh {
		was, is := before[path], after[path]
		if was.value != is.value || was.kind == "" {
			out = append(out, Change{Path: path, Old: was.shown, New: is.shown, Rolls: rolls(path)})
		}
	}
	for _, path := range order {
		if _, kept := after[path]; !kept {
			out = append(out, Change{Path: path, Old: before[path].shown, Rolls: rolls(path)})
		}
	}
	return out
}

// leaves are the values of a manifest by their paths, and the paths in order. What is empty is not
// there, but for an empty list of classes to shed, which is an answer.
func leaves(f Function) (map[string]leaf, []string) {
	out := map[string]leaf{}
	var order []string
	walk(reflect.ValueOf(f), place{}, func(v reflect.Value, at place) {
		switch v.Kind() {
		case reflect.Struct, reflect.Map:
			return
		case reflect.Slice:
			if v.IsNil() || v.Len() > 0 {
				return
			}
		default:
			if v.IsZero() && at.kind != "spec.resources.gpus" {
				return
			}
		}
		x := leaf{kind: at.kind, value: fmt.Sprint(v.Interface()), shown: show(v)}
		if v.Kind() == reflect.String {
			x.shown = shorten(v.String())
		}
		if functionKind.ruleAt(at.kind).secret {
			x.shown = HiddenValue
		}
		out[at.path], order = x, append(order, at.path)
	})
	return out, order
}

// rolls tells whether a path is of what a replica runs with, as [Revision] says.
func rolls(path string) bool {
	for _, of := range []string{"spec.runtime", "spec.resources", "spec.placement", "spec.scaling.slots"} {
		if path == of || strings.HasPrefix(path, of+".") || strings.HasPrefix(path, of+"[") {
			return true
		}
	}
	return false
}
