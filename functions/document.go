package functions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// documents splits an input into its documents, each the node of a value, and leaves out
// the empty ones. What could be read before an error is returned with it.
func documents(file string, data []byte) ([]*yaml.Node, *FieldError) {
	if len(data) > MaxInputBytes {
		return nil, &FieldError{
			Err: ErrTooLarge, Value: fmt.Sprintf("%d bytes", len(data)), Line: 1,
			Allowed: fmt.Sprintf("at most %d KiB", MaxInputBytes>>10), Hint: "apply it in several files",
		}
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	named := strings.HasSuffix(file, ".json")
	if named || bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		docs, err := readJSON(data)
		if named || err == nil { // YAML may begin with a brace too
			return docs, err
		}
	}
	return readYAML(data)
}

func tooMany(line int) *FieldError {
	return &FieldError{
		Err: ErrTooLarge, Line: line, Allowed: fmt.Sprintf("at most %d documents in one input", MaxDocuments),
		Hint: "apply it in several files",
	}
}

func readYAML(data []byte) ([]*yaml.Node, *FieldError) {
	var docs []*yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		switch {
		case errors.Is(err, io.EOF):
			return docs, nil
		case err != nil:
			return docs, yamlError(err)
		case len(docs) == MaxDocuments:
			return docs, tooMany(doc.Line)
		case !isEmpty(&doc):
			docs = append(docs, doc.Content[0])
		}
	}
}

// isEmpty tells whether a document holds comments at most.
func isEmpty(doc *yaml.Node) bool {
	root := doc.Content[0]
	return root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" && root.Value == ""
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?`)

// yamlError takes the line out of the parser's message; it names none for the first.
func yamlError(err error) *FieldError {
	line := 1
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil && m[1] != "" {
		line, _ = strconv.Atoi(m[1]) // digits, and few of them
	}
	problem := yamlLine.ReplaceAllString(err.Error(), "")
	return &FieldError{
		Err: ErrSyntax, Line: line, Value: problem, Allowed: "YAML 1.2 or JSON",
		Hint: "look at the indentation and the quotes of this line and the one before; YAML takes no tabs",
	}
}

func readJSON(data []byte) ([]*yaml.Node, *FieldError) {
	r := &jsonReader{data: data, dec: json.NewDecoder(bytes.NewReader(data)), line: 1}
	r.dec.UseNumber()
	var docs []*yaml.Node
	for {
		doc, err := r.value(0)
		switch {
		case errors.Is(err, io.EOF):
			return docs, nil
		case err != nil:
			return docs, r.fieldError(err)
		case len(docs) == MaxDocuments:
			return docs, tooMany(doc.Line)
		default:
			docs = append(docs, doc)
		}
	}
}

// jsonReader makes nodes of JSON. YAML's parser would read most of it, but not the
// surrogate pairs that JSON writes for characters beyond 16 bits.
type jsonReader struct {
	data    []byte
	dec     *json.Decoder
	line    int // at counted
	counted int
}

var errNesting = errors.New("nested too deeply")

// at counts the lines up to an offset; offsets never go back.
func (r *jsonReader) at(offset int64) int {
	end := min(int(offset), len(r.data))
	r.line += bytes.Count(r.data[r.counted:end], []byte("\n"))
	r.counted = end
	return r.line
}

// value reads the next value with all it holds.
func (r *jsonReader) value(depth int) (*yaml.Node, error) {
	if depth > maxNesting {
		return nil, errNesting
	}
	token, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: r.at(r.dec.InputOffset())}
	switch t := token.(type) {
	case json.Delim:
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
		if t == '[' {
			n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		}
		return n, r.content(n, depth+1)
	case string:
		n.Tag, n.Value = "!!str", t
	case json.Number:
		n.Tag, n.Value = "!!float", t.String()
		if decimalText.MatchString(n.Value) {
			n.Tag = "!!int"
		}
	case bool:
		n.Tag, n.Value = "!!bool", strconv.FormatBool(t)
	default:
		n.Tag = "!!null"
	}
	return n, nil
}

// content reads what an object or an array holds, and its end.
func (r *jsonReader) content(n *yaml.Node, depth int) error {
	for r.dec.More() {
		child, err := r.value(depth)
		if err != nil {
			return unexpected(err)
		}
		n.Content = append(n.Content, child)
	}
	_, err := r.dec.Token()
	return unexpected(err)
}

// unexpected makes an error of an end within a value.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (r *jsonReader) fieldError(err error) *FieldError {
	offset := r.dec.InputOffset()
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		offset = max(offset, syntax.Offset)
	}
	fault := ErrSyntax
	if errors.Is(err, errNesting) {
		fault = ErrTooLarge
	}
	return &FieldError{Err: fault, Line: r.at(offset), Value: err.Error(), Allowed: "JSON values, one after another", Hint: "look for a missing comma, quote or brace"}
}
