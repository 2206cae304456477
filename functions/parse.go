package functions

import (
	"cmp"
	"fmt"
	"reflect"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Parse reads every manifest in an input, YAML or JSON, one document after another. It is
// strict: a field it does not know, a field given twice or a value of another type is an
// error, and nothing is converted. The functions it returns are complete (Default) and valid
// (Validate), in the order of the input.
//
// The error is an Errors with everything wrong in all documents, in the order of the lines
// (the first MaxErrors of it); then no function is returned. The file's name is for the messages; one that ends in .json
// is read as JSON alone. An input without any document is an error.
func Parse(file string, data []byte) ([]Function, error) { return functionKind.parse(file, data) }

func (k *kind[M]) parse(file string, data []byte) ([]M, error) {
	docs, unread := documents(file, data)
	var errs Errors
	out := make([]M, 0, len(docs))
	first := map[Key]int{}
	for _, doc := range docs {
		m, lines, docErrs := k.parseDocument(doc)
		if line, twice := first[m.Key()]; twice && m.Key().Name != "" {
			docErrs = append(docErrs, FieldError{
				Line: lineOf(lines, "metadata.name", doc.Line), Path: "metadata.name", Err: ErrDuplicate, Value: strconv.Quote(m.Key().String()),
				Hint: fmt.Sprintf("the document at line %d has the same namespace and name; rename one or remove it", line),
			})
		} else {
			first[m.Key()] = doc.Line
		}
		docErrs.sort()
		errs, out = append(errs, docErrs...), append(out, m)
	}
	switch {
	case unread != nil:
		errs = append(errs, *unread)
	case len(docs) == 0:
		errs = append(errs, FieldError{Line: 1, Err: ErrRequired, Value: "no document", Allowed: "at least one manifest of kind " + k.name})
	}
	if len(errs) > 0 {
		return nil, errs.of(file)
	}
	return out, nil
}

// parseDocument reads, completes and validates one manifest.
func (k *kind[M]) parseDocument(n *yaml.Node) (M, map[string]int, Errors) {
	d := newDecoder(&k.grammar)
	m := k.silent()
	if d.otherKind(n) {
		return m, d.lines, d.errs
	}
	d.value(n, reflect.ValueOf(&m).Elem(), place{})
	full := k.complete(m)
	d.checkZeros(reflect.ValueOf(full))
	for _, name := range []string{"apiVersion", "kind"} { // Default has filled them
		if d.lines[name] == 0 && d.left >= 0 && !d.isBroken(name) {
			d.errs = append(d.errs, FieldError{Line: n.Line, Path: name, Err: ErrRequired, Allowed: d.ruleAt(name).allowed})
		}
	}
	for _, fe := range k.validate(full) {
		if d.left >= 0 && !d.isBroken(fe.Path) && !d.isBroken(fe.with) {
			fe.Line = lineOf(d.lines, fe.Path, n.Line)
			d.errs = append(d.errs, fe)
		}
	}
	return full, d.lines, d.errs
}

// silentFunction is a function of whose manifest nothing is read yet.
func silentFunction() Function {
	var f Function
	f.Spec.Resources.GPUs = DefaultGPUs
	return f
}

// takers say where manifests of another kind belong.
var takers = map[string]string{
	KindFunction:    "deploy it with: stoker apply -f FILE",
	KindTrainingJob: "submit it with: stoker job submit -f FILE",
	KindJobQueue:    "give the platform the file of its queues with: stoker up --queues FILE",
}

// otherKind refuses a document of another kind than the one that is read; its fields would
// only be strange.
func (d *decoder) otherKind(n *yaml.Node) bool {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Value == "kind" && value.Kind == yaml.ScalarNode && value.ShortTag() == "!!str" && value.Value != d.name {
			d.fail(value, FieldError{
				Path: "kind", Value: describeNode(value), Err: ErrUnsupported, Allowed: "the kind " + d.name,
				Hint: cmp.Or(takers[value.Value], didYouMean(value.Value, []string{d.name})),
			})
			return true
		}
	}
	return false
}

// checkZeros refuses a zero that was written out where zero is not allowed or where Default,
// which cannot tell it from silence, has replaced it.
func (d *decoder) checkZeros(full reflect.Value) {
	filled := map[string]reflect.Value{}
	walk(full, place{}, func(v reflect.Value, at place) {
		if !v.IsZero() {
			filled[at.path] = v
		}
	})
	for _, z := range d.zeros {
		r := d.ruleAt(z.at.kind)
		value, replaced := filled[z.at.path]
		if !replaced && (r.fits == nil || r.fits(z.value)) {
			continue
		}
		hint := r.hintFor("")
		if replaced && hint == "" {
			hint = fmt.Sprintf("leave the field out to get its default, %s", show(value))
		}
		d.broken[z.at.path] = true
		d.errs = append(d.errs, FieldError{
			Line: lineOf(d.lines, z.at.path, 0), Path: z.at.path, Value: show(z.value), Err: ErrValue, Allowed: r.allowed, Hint: hint,
		})
	}
}

// isBroken tells whether a path, or what it stands in, could not be read.
func (d *decoder) isBroken(path string) bool {
	for ; path != ""; path = parentPath(path) {
		if d.broken[path] {
			return true
		}
	}
	return d.broken[""] // the whole document
}

// lineOf is the line of a path, or of the nearest thing around it that is there.
func lineOf(lines map[string]int, path string, document int) int {
	for ; path != ""; path = parentPath(path) {
		if line := lines[path]; line > 0 {
			return line
		}
	}
	return document
}
