package functions

import (
	_ "embed" // the types' own source, whose comments describe the fields
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"
)

// schemaRoot begins the names of schemas; nothing is ever fetched from there.
const schemaRoot = "https://stoker.dev/schemas/v1/"

//go:embed function.go
var functionSource []byte

//go:embed job.go
var jobSource []byte

//go:embed jobqueue.go
var jobQueueSource []byte

// Schema is the JSON Schema (draft 2020-12) of a manifest, for editors and for what writes
// manifests by program. It is made of the Go types, their comments, the rules that Validate
// applies and the defaults that Default sets, so it cannot fall behind them.
//
// It is a little wider than Parse where JSON Schema has no words: the range of a duration or
// a quantity, and most of what ties two fields together.
func Schema() ([]byte, error) {
	return functionKind.schema("function.json", "A model deploy: what to run, on which GPUs, and how it scales.", tieFunction)
}

// JobSchema is the JSON Schema of a training job's manifest, made and meant as [Schema].
func JobSchema() ([]byte, error) {
	return jobKind.schema("trainingjob.json", "A training job: what to run, on how many nodes with which GPUs, and how it gives way and goes on.", tieJob)
}

// JobQueueSchema is the JSON Schema of a queue's manifest, made and meant as [Schema].
func JobQueueSchema() ([]byte, error) {
	return jobQueueKind.schema("jobqueue.json", "A queue of training jobs: what those of a namespace may hold.", func(*jsonschema.Schema) {})
}

// schema is the JSON Schema of a kind, by its file's name and what the kind is. What ties fields
// together is tie's to write.
func (k *kind[M]) schema(file, about string, tie func(root *jsonschema.Schema)) ([]byte, error) {
	comments, err := fieldComments()
	if err != nil {
		return nil, err
	}
	reflector := jsonschema.Reflector{
		Anonymous:                  true,
		DoNotReference:             true,
		RequiredFromJSONSchemaTags: true, // required comes from the rules
		Mapper:                     mapScalar,
		LookupComment:              func(t reflect.Type, field string) string { return describe(comments, t, field) },
	}
	root := reflector.ReflectFromType(k.of)
	root.ID, root.Title, root.Description = jsonschema.ID(schemaRoot+file), "stoker "+k.name, about
	for _, r := range k.rules {
		if err := r.restrict(root); err != nil {
			return nil, err
		}
	}
	k.addDefaults(root)
	tieIdentity(root)
	tie(root)
	return json.MarshalIndent(root, "", "  ")
}

// mapScalar gives the texts with a notation of their own their type; nil leaves a type to
// the library.
func mapScalar(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[Duration]():
		return &jsonschema.Schema{Type: "string"}
	case reflect.TypeFor[Quantity](): // YAML reads cpu: 2 as a number, and so does Kubernetes
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, {Type: "number", Minimum: "0"}}}
	default:
		return nil
	}
}

// describe is what a field's type is, and then what the field is. A type by itself gets no
// description: the field that has it does.
func describe(comments map[string]string, t reflect.Type, name string) string {
	if name == "" {
		return ""
	}
	f, _ := t.FieldByName(name) // the library asks for fields that are there
	of := f.Type
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	return strings.TrimSpace(comments[of.Name()] + " " + comments[t.Name()+"."+name])
}

// fieldComments reads the comment of every field and type: "Scaling.Max" → "default 1" and
// "Ready" → "Ready is the readiness probe…".
func fieldComments() (map[string]string, error) {
	comments := map[string]string{}
	for _, source := range [][]byte{functionSource, jobSource, jobQueueSource} {
		file, err := parser.ParseFile(token.NewFileSet(), "", source, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("the embedded source of a kind of manifest: %w", err)
		}
		for _, decl := range file.Decls {
			decl, ok := decl.(*ast.GenDecl)
			if !ok || decl.Tok != token.TYPE {
				continue
			}
			for _, spec := range decl.Specs {
				addComments(comments, decl.Doc, spec.(*ast.TypeSpec))
			}
		}
	}
	return comments, nil
}

func addComments(comments map[string]string, doc *ast.CommentGroup, spec *ast.TypeSpec) {
	comments[spec.Name.Name] = oneLine(doc.Text())
	fields, ok := spec.Type.(*ast.StructType)
	if !ok {
		return
	}
	for _, f := range fields.Fields.List {
		comments[spec.Name.Name+"."+f.Names[0].Name] = oneLine(f.Doc.Text() + f.Comment.Text())
	}
}

func oneLine(comment string) string { return strings.Join(strings.Fields(comment), " ") }

// restrict writes a rule into the schema of its field.
func (r rule) restrict(root *jsonschema.Schema) error {
	s := schemaAt(root, r.path)
	if s == nil {
		return fmt.Errorf("the rule for %s has no field in the schema", r.path)
	}
	for _, v := range r.bounds.enum {
		s.Enum = append(s.Enum, v)
	}
	setNumber(&s.Minimum, r.bounds.min)
	setNumber(&s.Maximum, r.bounds.max)
	textual := s
	if len(s.AnyOf) > 0 { // a quantity, of which the pattern is for the text
		textual = s.AnyOf[0]
	}
	textual.Pattern = r.bounds.pattern
	setLimit(&textual.MaxLength, r.bounds.maxLength)
	if s.Type == "array" {
		setLimit(&s.MaxItems, r.bounds.maxEntries)
	} else {
		setLimit(&s.MaxProperties, r.bounds.maxEntries)
	}
	if r.fits != nil { // a shape's fields speak for themselves
		s.Description = sentences(s.Description, r.allowed)
	}
	if !r.required || strings.HasSuffix(r.path, "[]") {
		return nil
	}
	parent := schemaAt(root, parentPath(r.path))
	parent.Required = append(parent.Required, r.path[strings.LastIndex(r.path, ".")+1:])
	if s.Type == "array" {
		setLimit(&s.MinItems, 1)
	}
	return nil
}

// sentences joins what a field is and what it may hold.
func sentences(comment, allowed string) string {
	if comment != "" {
		comment = strings.TrimSuffix(comment, ".") + ". "
	}
	return comment + "Allowed: " + allowed + "."
}

func setNumber(field *json.Number, value *int) {
	if value != nil {
		*field = json.Number(strconv.Itoa(*value))
	}
}

func setLimit(field **uint64, limit int) {
	if limit > 0 {
		n := uint64(limit)
		*field = &n
	}
}

// schemaAt finds the schema of a field by its rule path; nil if there is none.
func schemaAt(s *jsonschema.Schema, path string) *jsonschema.Schema {
	for _, name := range strings.Split(path, ".") {
		if name == "" {
			return s
		}
		name, entry := strings.CutSuffix(name, "[]")
		if s.Properties == nil {
			return nil
		}
		next, found := s.Properties.Get(name)
		if !found {
			return nil
		}
		s = next
		if entry && s.Items != nil {
			s = s.Items
		} else if entry {
			s = s.AdditionalProperties
		}
	}
	return s
}

// addDefaults writes beside each field what Parse takes where a manifest is silent.
func (k *kind[M]) addDefaults(root *jsonschema.Schema) {
	full := k.complete(k.silent())
	walk(reflect.ValueOf(full), place{}, func(v reflect.Value, at place) {
		s := schemaAt(root, at.path) // entries have no defaults, so their paths may miss
		required := k.ruleAt(at.kind).required
		if s == nil || v.IsZero() || required || v.Kind() == reflect.Struct {
			return
		}
		s.Default = v.Interface()
	})
}

// tieIdentity writes what JSON Schema can say of checkLabels.
func tieIdentity(root *jsonschema.Schema) {
	label := schemaAt(root, "metadata.labels[]")
	label.Pattern = `^$|` + qualifiedPattern
	setLimit(&label.MaxLength, MaxNameBytes)
	for _, path := range []string{"metadata.labels", "metadata.annotations"} {
		schemaAt(root, path).PropertyNames = &jsonschema.Schema{Pattern: labelKeyPattern}
	}
}

// tieProgram writes what JSON Schema can say of checkProgram and checkWishes.
func tieProgram(root *jsonschema.Schema) {
	runtime := schemaAt(root, "spec.runtime")
	runtime.AnyOf = []*jsonschema.Schema{{Required: []string{"image"}}, {Required: []string{"local"}}}
	runtime.DependentRequired = map[string][]string{"command": {"image"}, "args": {"image"}}
	source := schemaAt(root, "spec.runtime.env[].valueFrom")
	source.Required = []string{"secretKeyRef"}
	schemaAt(root, "spec.runtime.env[]").Not = &jsonschema.Schema{Required: []string{"value", "valueFrom"}}
	schemaAt(root, "spec.resources.products").UniqueItems = true
}

// tieFunction writes what JSON Schema can say of the rules in conflicts.go.
func tieFunction(root *jsonschema.Schema) {
	tieProgram(root)
	setLimit(&schemaAt(root, "spec.scaling.waitSLO").MaxProperties, 1)
	schemaAt(root, "spec.overload.shed").UniqueItems = true
}

// tieJob writes what JSON Schema can say of the rules in jobconflicts.go.
func tieJob(root *jsonschema.Schema) {
	tieProgram(root)
	schemaAt(root, "spec.elastic").DependentRequired = map[string][]string{"min": {"max"}, "step": {"max"}}
	schemaAt(root, "spec.goal").Not = &jsonschema.Schema{Required: []string{"finishBy", "within"}}
	schemaAt(root, "spec.notify[].on").UniqueItems = true
}
