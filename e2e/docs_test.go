package e2e

import (
	"errors"
	"go/ast"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"stoker.dev/stoker/functions"
)

// block is one fenced code block of a Markdown file.
type block struct {
	file string
	line int // of the first line inside
	lang string
	text string
}

// fence opens or closes a code block.
var fence = regexp.MustCompile("^\\s*```\\s*([a-z]*)\\s*$")

// stokerCall is a line that runs stoker; what follows is its arguments.
var stokerCall = regexp.MustCompile(`^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:stoker|(?:\./)?build/stoker|go run \./cmd/stoker)\s+(.*)$`)

// codeBlocks reads the fenced blocks of one Markdown text.
func codeBlocks(file, text string) ([]block, error) {
	var found []block
	var open *block
	for i, line := range strings.Split(text, "\n") {
		match := fence.FindStringSubmatch(line)
		switch {
		case match == nil && open != nil:
			open.text += line + "\n"
		case match != nil && open == nil:
			open = &block{file: file, line: i + 2, lang: match[1]}
		case match != nil:
			found = append(found, *open)
			open = nil
		}
	}
	if open != nil {
		return nil, errors.New(file + ": a code block is never closed")
	}
	return found, nil
}

// documents returns every code block of every Markdown file of the repository.
func documents(t *testing.T) []block {
	t.Helper()
	var found []block
	root := os.DirFS(repoRoot)
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && skipDir(root, name):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".md":
			return nil
		}
		blocks, err := codeBlocks(name, readRepoFile(t, name))
		found = append(found, blocks...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatal("no code block found in any document")
	}
	return found
}

// stokerVerbs reads the names of stoker's commands from their Use: fields, so that the documents are checked
// against what is compiled in. cobra adds help and completion by itself.
func stokerVerbs(t *testing.T) []string {
	t.Helper()
	src, err := loadTree(os.DirFS(repoRoot))
	if err != nil {
		t.Fatal(err)
	}
	verbs := []string{"help", "completion"}
	for _, f := range src.files {
		if !within(f.dir(), "cmd/stoker") || f.isTest() {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			kv, ok := n.(*ast.KeyValueExpr)
			if !ok {
				return true
			}
			if key, ok := kv.Key.(*ast.Ident); ok && key.Name == "Use" {
				verbs = append(verbs, strings.Fields(unquote(kv.Value) + " ?")[0])
			}
			return true
		})
	}
	return verbs
}

// verbOf is the first word of a command line's arguments that is no flag, "" if there is none.
func verbOf(args string) string {
	for _, word := range strings.Fields(args) {
		if !strings.HasPrefix(word, "-") {
			return word
		}
	}
	return ""
}

func TestDocumentsNameCommandsThatExist(t *testing.T) {
	verbs := stokerVerbs(t)
	tasks := readTaskfile(t).Tasks
	seen := 0
	for _, b := range documents(t) {
		if b.lang != "sh" {
			continue
		}
		for i, line := range strings.Split(b.text, "\n") {
			line = strings.TrimSpace(line)
			if match := stokerCall.FindStringSubmatch(line); match != nil {
				seen++
				if verb := verbOf(match[1]); verb != "" && !slices.Contains(verbs, verb) {
					t.Errorf("%s:%d: stoker has no command %q; it has %v", b.file, b.line+i, verb, verbs)
				}
			}
			for _, verb := range namedVerbs(line) {
				seen++
				if _, ok := tasks[verb]; !ok {
					t.Errorf("%s:%d: Taskfile.yml has no verb %q", b.file, b.line+i, verb)
				}
			}
		}
	}
	if seen == 0 {
		t.Error("no document shows a command")
	}
}

func TestDocumentsShowManifestsThatParse(t *testing.T) {
	seen := 0
	for _, b := range documents(t) {
		if b.lang != "yaml" || !strings.Contains(b.text, "apiVersion: stoker.dev/v1") {
			continue
		}
		seen++
		_, err := functions.Parse(b.file, []byte(b.text))
		if strings.Contains(b.text, "kind: "+functions.KindTrainingJob) {
			_, err = functions.ParseJobs(b.file, []byte(b.text))
		}
		if err != nil {
			t.Errorf("the manifest at %s:%d is refused:\n%v", b.file, b.line, err)
		}
	}
	if seen == 0 {
		t.Error("no document shows a manifest")
	}
}

func TestCodeBlocksAreFound(t *testing.T) {
	blocks, err := codeBlocks("x.md", "text\n```sh\n$ stoker --data-dir d up\n```\n```yaml\na: 1\n```\n")
	if err != nil || len(blocks) != 2 || blocks[0].lang != "sh" || blocks[0].line != 3 || blocks[1].text != "a: 1\n" {
		t.Errorf("got %+v, %v", blocks, err)
	}
	if _, err := codeBlocks("x.md", "```sh\nforever\n"); err == nil {
		t.Error("a block that is never closed was accepted")
	}
	for line, want := range map[string]string{
		"$ stoker --data-dir=d up":              "up",
		"STOKER_GPUS=2 stoker up":               "up",
		"go run ./cmd/stoker demo --json":       "demo",
		"build/stoker -o json get functions":    "json", // a flag's own value needs "=" in the documents
		"nats request stoker.invoke.default.fn": "",
	} {
		got := ""
		if match := stokerCall.FindStringSubmatch(line); match != nil {
			got = verbOf(match[1])
		}
		if got != want {
			t.Errorf("%q runs the command %q, want %q", line, got, want)
		}
	}
}
