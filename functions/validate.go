package functions

import (
	"fmt"
	"reflect"
	"strconv"
)

// Validate returns everything wrong with a function that Default has completed, in the
// order of the types' fields; nil if nothing is. Files and lines are Parse's to add.
func Validate(f Function) Errors { return functionKind.validate(f) }

// judge applies the rule to the value of its field; the zero rule allows anything.
func (r rule) judge(v reflect.Value, at place) (FieldError, bool) {
	switch {
	case r.required && missing(v):
		return FieldError{Path: at.path, Err: ErrRequired, Allowed: r.allowed, Hint: r.hint}, true
	case r.fits != nil && !(r.optional && v.IsZero()) && !r.fits(v):
		hint := r.hint
		if v.Kind() == reflect.String {
			hint = r.hintFor(v.String())
		}
		return FieldError{Path: at.path, Value: r.show(v), Err: ErrValue, Allowed: r.allowed, Hint: hint}, true
	default:
		return FieldError{}, false
	}
}

// missing tells whether a required value is not there. A struct's own fields say what is
// missing in it.
func missing(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Struct:
		return false
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	default:
		return v.IsZero()
	}
}

// show is how a message shows a value.
func (r rule) show(v reflect.Value) string {
	if r.secret {
		return ""
	}
	return show(v)
}

func show(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return strconv.Quote(shorten(v.String()))
	case reflect.Slice, reflect.Map:
		return fmt.Sprintf("%d entries", v.Len())
	default:
		return fmt.Sprint(v.Interface())
	}
}
