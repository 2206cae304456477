package functions

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decoder turns the nodes of one document into a manifest. It goes by the Go types, so it
// ends on any input: a cycle of aliases is followed no deeper than the types are.
type decoder struct {
	*grammar
	errs   Errors
	lines  map[string]int  // path → line, of everything that is there
	broken map[string]bool // paths that could not be read: Validate's verdict on them would mislead
	zeros  []zero          // what was written out as zero, which Default could take for not given
	left   int             // bytes of text that may still be read
}

type zero struct {
	at    place
	value reflect.Value
}

func newDecoder(g *grammar) *decoder {
	return &decoder{grammar: g, lines: map[string]int{}, broken: map[string]bool{}, left: MaxManifestBytes}
}

// fail records an error at a node and takes the path out of further checks.
func (d *decoder) fail(n *yaml.Node, fe FieldError) {
	fe.Line = n.Line
	d.broken[fe.Path] = true
	d.errs = append(d.errs, fe)
}

// mistype records that something else than r allows stands at a node.
func (d *decoder) mistype(n *yaml.Node, at place, want, hint string) {
	r := d.ruleAt(at.kind)
	fe := FieldError{Path: at.path, Value: describeNode(n), Err: ErrType, Allowed: r.allowed, Hint: hint}
	if r.secret {
		fe.Value = ""
	}
	if fe.Hint == "" {
		fe.Hint = r.hint
	}
	if fe.Allowed == "" {
		fe.Allowed = want
	}
	d.fail(n, fe)
}

// spend takes a node's text from what the document may have, and fails once it is used up.
func (d *decoder) spend(n *yaml.Node) bool {
	if d.left < 0 {
		return false
	}
	if d.left -= len(n.Value) + 1; d.left < 0 {
		d.fail(n, FieldError{
			Err: ErrTooLarge, Allowed: fmt.Sprintf("at most %d KiB of text in one manifest, aliases written out", MaxManifestBytes>>10),
			Hint: "let the program read large settings from a file",
		})
	}
	return d.left >= 0
}

// value reads a node into v, which can be set.
func (d *decoder) value(n *yaml.Node, v reflect.Value, at place) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if !d.spend(n) {
		return
	}
	if n.ShortTag() == "!!null" {
		d.mistype(n, at, "a value", "leave the field out to get its default, or give it a value")
		return
	}
	switch {
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.composite(n, v.Elem(), at)
	case v.Kind() == reflect.Struct, v.Kind() == reflect.Slice, v.Kind() == reflect.Map:
		d.composite(n, v, at)
	default:
		d.scalar(n, v, at)
	}
}

func (d *decoder) composite(n *yaml.Node, v reflect.Value, at place) {
	if tag := n.ShortTag(); n.Kind != yaml.ScalarNode && tag != "!!map" && tag != "!!seq" {
		d.fail(n, FieldError{Path: at.path, Value: shorten(tag), Err: ErrUnsupported, Hint: "remove the tag"})
		return
	}
	switch {
	case v.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		d.list(n, v, at)
	case v.Kind() == reflect.Struct && n.Kind == yaml.MappingNode:
		d.object(n, v, at)
	case v.Kind() == reflect.Map && n.Kind == yaml.MappingNode:
		d.texts(n, v, at)
	case v.Kind() == reflect.Slice:
		d.mistype(n, at, "a list", "write it as a list, such as [a, b]")
	case v.Kind() == reflect.Map:
		d.mistype(n, at, "names with texts", "write it as name: text, one to a line")
	default:
		d.mistype(n, at, "a mapping with the fields "+strings.Join(fieldNames(v.Type()), ", "), "")
	}
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, at place) {
	v.Set(reflect.MakeSlice(v.Type(), 0, 0)) // an empty list is not the same as none
	for i, child := range n.Content {
		if d.left < 0 {
			return
		}
		entry := at.entry(i)
		d.lines[entry.path] = child.Line
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		d.value(child, v.Index(i), entry)
	}
}

func (d *decoder) object(n *yaml.Node, v reflect.Value, at place) {
	fields := fieldsOf(v.Type())
	d.pairs(n, at, at.field, func(name string, key, child *yaml.Node) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
		if i < 0 {
			d.unknown(n, key, at, fieldNames(v.Type()))
			return
		}
		d.value(child, v.Field(fields[i].index), at.field(name))
	})
}

// texts reads a map of texts, the only maps that manifests have.
func (d *decoder) texts(n *yaml.Node, v reflect.Value, at place) {
	m := map[string]string{}
	d.pairs(n, at, at.key, func(name string, _, child *yaml.Node) {
		var text string
		d.value(child, reflect.ValueOf(&text).Elem(), at.key(name))
		m[name] = text
	})
	v.Set(reflect.ValueOf(m))
}

// pairs calls visit for each key of a mapping, once per key.
func (d *decoder) pairs(n *yaml.Node, at place, child func(string) place, visit func(name string, key, value *yaml.Node)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		line := key.Line
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		path := child(key.Value).path
		if key.Kind != yaml.ScalarNode {
			path = joinPath(at.path, "?") // YAML's word for a key that is no text
		}
		if !d.spend(key) || !d.readable(key, path) {
			continue
		}
		if first, twice := seen[key.Value]; twice {
			d.fail(n.Content[i], FieldError{Path: path, Err: ErrDuplicate, Hint: fmt.Sprintf("line %d gives it first; keep one", first)})
			continue
		}
		seen[key.Value], d.lines[path] = line, line
		visit(key.Value, key, value)
	}
}

// readable refuses the keys that YAML has and manifests do not.
func (d *decoder) readable(key *yaml.Node, path string) bool {
	switch key.ShortTag() {
	case "!!str":
		return true
	case "!!merge":
		d.fail(key, FieldError{
			Path: path, Err: ErrUnsupported, Allowed: "aliases for whole values",
			Hint: "write the merged fields out; the next reader will thank you",
		})
	default:
		d.fail(key, FieldError{
			Path: path, Value: describeNode(key), Err: ErrType, Allowed: "keys that are texts", Hint: quoteHint(key),
		})
	}
	return false
}

// unknown records a field that does not exist, and spares the reader the complaint that the
// field it was meant to be is missing.
func (d *decoder) unknown(parent, key *yaml.Node, at place, known []string) {
	hint := didYouMean(key.Value, known)
	if meant := closest(key.Value, known); meant != "" && !hasKey(parent, meant) {
		d.broken[at.field(meant).path] = true
	}
	if homes := d.homesOf(key.Value); hint == "" && len(homes) > 0 {
		hint = "there is " + listWords(homes)
	}
	d.fail(key, FieldError{Path: at.field(key.Value).path, Err: ErrUnknownField, Allowed: listWords(known), Hint: hint})
}

func hasKey(n *yaml.Node, name string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return true
		}
	}
	return false
}

var decimalText = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// scalar reads a text or a number into v.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, at place) {
	if n.Kind != yaml.ScalarNode {
		d.mistype(n, at, "a single value", "")
		return
	}
	tag := n.ShortTag()
	switch v.Interface().(type) {
	case Duration:
		d.duration(n, v, at)
	case Quantity:
		if tag != "!!str" && tag != "!!int" && tag != "!!float" {
			d.mistype(n, at, "a quantity", quoteHint(n))
			return
		}
		v.SetString(n.Value)
	case Moment: // YAML reads it as a time, and JSON as a text
		if tag != "!!str" && tag != "!!timestamp" {
			d.mistype(n, at, "a moment", quoteHint(n))
			return
		}
		v.SetString(n.Value)
	case int:
		d.whole(n, v, at)
	case bool:
		if tag != "!!bool" {
			d.mistype(n, at, "true or false", "write true or false, without quotes")
			return
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	default:
		if tag != "!!str" && tag != "!!merge" { // << merges as a key, and is a text as a value
			d.mistype(n, at, "a text", d.textHint(n, at))
			return
		}
		v.SetString(n.Value)
	}
	if v.IsZero() && !d.broken[at.path] {
		d.zeros = append(d.zeros, zero{at, v})
	}
}

func (d *decoder) duration(n *yaml.Node, v reflect.Value, at place) {
	span, err := parseDuration(n.Value)
	if n.ShortTag() == "!!str" && err == nil {
		v.SetInt(int64(span))
		return
	}
	d.mistype(n, at, "a duration such as 2s", durationHint(n.Value))
}

func (d *decoder) whole(n *yaml.Node, v reflect.Value, at place) {
	number, err := strconv.ParseInt(n.Value, 10, 0)
	switch {
	case n.ShortTag() == "!!str" && decimalText.MatchString(n.Value):
		d.mistype(n, at, "a whole number", "write it without quotes")
	case n.ShortTag() != "!!int" || !decimalText.MatchString(n.Value):
		d.mistype(n, at, "a whole number", "digits alone")
	case err != nil: // beyond 64 bits
		d.mistype(n, at, "a whole number", "")
	default:
		v.SetInt(number)
	}
}
