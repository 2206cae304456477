package functions

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// rule says what one field may hold, once for Validate, for the text of its errors and for
// the schema.
type rule struct {
	path     string // of the field; [] stands for any entry of a list or map
	required bool   // zero is refused; without it, an empty text is a field not given
	optional bool   // a zero number is a field not given
	secret   bool   // the value is never shown
	allowed  string // for people
	hint     string
	advise   func(string) string      // a better hint for the text that stands there, or ""; may be nil
	fits     func(reflect.Value) bool // nil: anything
	bounds   bounds                   // the same for the schema
}

// bounds is what a JSON Schema can express of a rule.
type bounds struct {
	min, max   *int // of a number
	maxEntries int
	maxLength  int
	pattern    string
	enum       []string
}

func (r rule) need() rule { r.required = true; return r }

func (r rule) mayLack() rule { r.optional = true; return r }

func (r rule) orElse(hint string) rule { r.hint = hint; return r }

func (r rule) unseen() rule { r.secret = true; return r }

// whole is a number from lo to hi.
func whole(path string, lo, hi int) rule {
	return rule{
		path:    path,
		allowed: fmt.Sprintf("a whole number from %d to %d", lo, hi),
		fits:    func(v reflect.Value) bool { return v.Int() >= int64(lo) && v.Int() <= int64(hi) },
		bounds:  bounds{min: &lo, max: &hi},
	}
}

// span is a Duration from lo to hi.
func span(path string, lo, hi time.Duration) rule {
	return rule{
		path:    path,
		allowed: fmt.Sprintf("a duration from %s to %s, such as 2s or 1m30s", Duration(lo), Duration(hi)),
		fits:    func(v reflect.Value) bool { return v.Int() >= int64(lo) && v.Int() <= int64(hi) },
		bounds:  bounds{pattern: durationPattern},
	}
}

// amount is a Quantity from lo to hi, or empty.
func amount(path string, lo, hi Quantity, example string) rule {
	return rule{
		path:    path,
		allowed: fmt.Sprintf("a quantity from %s to %s, such as %s", lo, hi, example),
		hint:    "units are m, k, M, G, T, Ki, Mi, Gi and Ti, with no space before them",
		fits: func(v reflect.Value) bool {
			milli, err := Quantity(v.String()).parse()
			return v.Len() == 0 || err == nil && milli >= lo.Milli() && milli <= hi.Milli()
		},
		bounds: bounds{pattern: quantityPattern},
	}
}

// dollars is an amount of US dollars.
func dollars(path string) rule {
	return amount(path, minUSD, maxUSD, "2.50 or 100").orElse("US dollars, a number without a currency")
}

// memory is an amount of bytes up to hi.
func memory(path string, hi Quantity, example string) rule {
	r := amount(path, minMemory, hi, example)
	r.advise = memoryHint
	return r
}

// oneOf is a text of a closed set.
func oneOf[T ~string](path string, values ...T) rule {
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = string(v)
	}
	return rule{
		path:    path,
		allowed: listWords(names),
		advise:  func(s string) string { return didYouMean(s, names) },
		fits: func(v reflect.Value) bool {
			for _, name := range names {
				if v.String() == name {
					return true
				}
			}
			return false
		},
		bounds: bounds{enum: names},
	}
}

// text is a text of at most maxBytes that matches the pattern; empty only if not required.
func text(path, pattern string, maxBytes int, allowed string) rule {
	match := regexp.MustCompile(pattern)
	return rule{
		path:    path,
		allowed: allowed,
		fits: func(v reflect.Value) bool {
			return v.Len() == 0 || v.Len() <= maxBytes && match.MatchString(v.String())
		},
		bounds: bounds{pattern: pattern, maxLength: maxBytes},
	}
}

// name is a DNS-1123 label.
func name(path string) rule {
	r := text(path, namePattern, MaxNameBytes, nameAllowed)
	r.advise = nameHint
	return r
}

// freeText is any text that a process can be given: at most maxBytes, without NUL.
//
//nolint:unparam // 2026-11-23: two limits with reasons of their own happen to be equal
func freeText(path string, maxBytes int) rule {
	return text(path, anyTextPattern, maxBytes, fmt.Sprintf("text of at most %d KiB without NUL", maxBytes>>10))
}

// entries is a list or map of at most n entries.
func entries(path string, n int, of string) rule {
	return rule{
		path:    path,
		allowed: fmt.Sprintf("at most %d %s", n, of),
		fits:    func(v reflect.Value) bool { return v.Len() <= n },
		bounds:  bounds{maxEntries: n},
	}
}

// shape is a field with fields of its own, for its hint where something else stands there.
func shape(path, allowed string) rule { return rule{path: path, allowed: allowed} }

// listWords is "a, b or c".
func listWords(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// keepAliveRule is "auto" or a duration.
func keepAliveRule(path string) rule {
	times := span(path, 0, MaxKeepAlive)
	return rule{
		path:    path,
		allowed: "auto, or " + times.allowed,
		advise:  durationHint,
		fits: func(v reflect.Value) bool {
			d, err := parseDuration(v.String())
			return KeepAlive(v.String()).Auto() || err == nil && d.D() <= MaxKeepAlive
		},
		bounds: bounds{pattern: `^auto$|` + durationPattern},
	}
}

// hintFor is what to do about a text that does not fit.
func (r rule) hintFor(text string) string {
	if r.advise != nil {
		if advice := r.advise(text); advice != "" {
			return advice
		}
	}
	return r.hint
}
