package e2e

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
)

// pureFolders hold code whose every result follows from its arguments.
var pureFolders = []string{"functions", "scale"}

// pureBans are the imports that would let a clock, a disk, a network, a lock or a dice into a pure package.
var pureBans = []string{
	"context", "crypto/rand", "expvar", "io/ioutil", "log", "log/slog", "math/rand", "math/rand/v2", "net", "os",
	"plugin", "runtime", "sync", "syscall", "testing", "unsafe",
}

// pureAllowed are the only foreign modules a pure package may import: readers and writers of text, and a histogram.
var pureAllowed = []string{
	"go.yaml.in/yaml/v3", "sigs.k8s.io/yaml", "github.com/invopop/jsonschema", "github.com/HdrHistogram/hdrhistogram-go",
}

// clockNames are the parts of package time that read a clock or start a timer; its types are welcome.
var clockNames = []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"}

// printNames are the parts of package fmt that write to the process's own output.
var printNames = []string{"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"}

// jungleNames are package names that say nothing; code lands there for want of a better idea.
var jungleNames = []string{"base", "common", "helper", "helpers", "internal", "lib", "misc", "pkg", "shared", "util", "utils"}

func checkDirections(t tree) []string {
	var found []string
	for _, f := range t.files {
		from, known := directions[f.folder()]
		if !known {
			if f.dir() == "." {
				found = append(found, f.path+": the root holds no Go package")
			} else {
				found = append(found, f.path+": folder "+f.folder()+"/ is not in the design (directions in e2e/arch_test.go)")
			}
			continue
		}
		for _, spec := range f.ast.Imports {
			ours, ok := strings.CutPrefix(importPath(spec), modulePath+"/")
			to := strings.SplitN(ours, "/", 2)[0]
			if f.isTest() && slices.Contains(testbeds, ours) {
				continue
			}
			if ok && to != f.folder() && !slices.Contains(from.to, to) {
				found = append(found, t.at(spec, "%s/ must not import %s/: %s", f.folder(), to, from.why))
			}
		}
	}
	return found
}

// checkTestbeds keeps the testbeds free of the product: a test of any folder imports them.
func checkTestbeds(t tree) []string {
	var found []string
	for _, f := range t.files {
		for _, spec := range f.ast.Imports {
			name := importPath(spec)
			for _, bed := range testbeds {
				if within(f.dir(), bed) && within(name, modulePath) && !within(name, modulePath+"/"+bed) {
					found = append(found, t.at(spec, "%s is a testbed of every folder and imports none: %s", bed, name))
				}
			}
		}
	}
	return found
}

func checkHomes(t tree) []string {
	var found []string
	for _, f := range t.files {
		if f.isTest() || f.folder() == "e2e" {
			continue
		}
		for _, spec := range f.ast.Imports {
			for _, h := range homes {
				inside := slices.ContainsFunc(h.folders, func(folder string) bool { return within(f.dir(), folder) })
				if within(importPath(spec), h.prefix) && !inside {
					found = append(found, t.at(spec, "%s may be imported by %s alone: %s", importPath(spec), strings.Join(h.folders, ", "), h.why))
				}
			}
		}
	}
	return found
}

// checkTestSupport keeps packages whose name ends in "test" (eventstest, providertest) out of the programs.
func checkTestSupport(t tree) []string {
	var found []string
	for _, f := range t.files {
		if f.isTest() || strings.HasSuffix(f.dir(), "test") || f.folder() == "e2e" {
			continue // e2e/ serves tests as a whole
		}
		for _, spec := range f.ast.Imports {
			if name := importPath(spec); within(name, modulePath) && strings.HasSuffix(name, "test") {
				found = append(found, t.at(spec, "%s serves tests, and this file is none", name))
			}
		}
	}
	return found
}

// pure lists the product files of the pure packages.
func (t tree) pure() []source {
	return slices.DeleteFunc(slices.Clone(t.files), func(f source) bool {
		return f.isTest() || !slices.Contains(pureFolders, f.folder())
	})
}

func checkPureImports(t tree) []string {
	var found []string
	for _, f := range t.pure() {
		for _, spec := range f.ast.Imports {
			name := importPath(spec)
			switch {
			case spec.Name != nil && spec.Name.Name == ".":
				found = append(found, t.at(spec, "a dot import hides what %s/ uses", f.folder()))
			case slices.ContainsFunc(pureBans, func(ban string) bool { return within(name, ban) }):
				found = append(found, t.at(spec, "%s/ is pure: no %s; what it tells comes in as an argument", f.folder(), name))
			case foreign(name) && !slices.ContainsFunc(pureAllowed, func(ok string) bool { return within(name, ok) }):
				found = append(found, t.at(spec, "%s/ is pure: %s is not among the libraries it may use", f.folder(), name))
			}
		}
	}
	return found
}

// foreign tells whether an import is neither the standard library's nor ours.
func foreign(name string) bool {
	return strings.Contains(strings.SplitN(name, "/", 2)[0], ".") && !within(name, modulePath)
}

func checkPureCode(t tree) []string {
	var found []string
	for _, f := range t.pure() {
		for _, sel := range uses(f.ast, "time", clockNames...) {
			found = append(found, t.at(sel, "time.%s in %s/: time is an argument", sel.Sel.Name, f.folder()))
		}
		for _, sel := range uses(f.ast, "fmt", printNames...) {
			found = append(found, t.at(sel, "fmt.%s in %s/: results are returned, not printed", sel.Sel.Name, f.folder()))
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if what := concurrency(n); what != "" {
				found = append(found, t.at(n, "%s in %s/: a pure package runs nothing beside its caller", what, f.folder()))
			}
			return true
		})
	}
	return found
}

// concurrency names the construct if n starts, joins or prints beside the caller, else "".
func concurrency(n ast.Node) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "a goroutine"
	case *ast.SelectStmt:
		return "a select"
	case *ast.ChanType:
		return "a channel"
	case *ast.SendStmt:
		return "a send"
	case *ast.CallExpr:
		if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "print" || id.Name == "println") {
			return "builtin " + id.Name
		}
	}
	return ""
}

// checkPackageDocs wants exactly one package comment per package, in the form go doc shows best.
func checkPackageDocs(t tree) []string {
	type docs struct {
		first source
		texts []string
	}
	packages := map[string]*docs{}
	var order []string
	for _, f := range t.files {
		if f.isTest() && (f.folder() != "e2e" || strings.HasSuffix(f.ast.Name.Name, "_test")) {
			continue
		}
		key := f.dir() + " " + f.ast.Name.Name
		if packages[key] == nil {
			packages[key] = &docs{first: f}
			order = append(order, key)
		}
		if f.ast.Doc != nil && f.ast.Doc.Text() != "" {
			packages[key].texts = append(packages[key].texts, f.ast.Doc.Text())
		}
	}
	var found []string
	for _, key := range order {
		p := packages[key]
		name := p.first.ast.Name.Name
		want := "Package " + name + " "
		if name == "main" {
			want = "Command " + path.Base(p.first.dir()) + " "
		}
		switch {
		case len(p.texts) != 1:
			found = append(found, t.at(p.first.ast.Name, "package %s has %d package docs, want exactly one", key, len(p.texts)))
		case !strings.HasPrefix(p.texts[0], want):
			found = append(found, t.at(p.first.ast.Name, "the doc of %s must begin %q", key, want))
		}
	}
	return found
}

// subjectsFile builds and parses every subject.
const subjectsFile = "events/subjects.go"

// checkSubjects learns the kinds of subject from the kind… constants of events/subjects.go, so that it cannot
// fall behind them. A whole subject inside a sentence (help, an example to type) is no subject being built.
func checkSubjects(t tree) []string {
	var kinds []string
	for _, f := range t.files {
		if f.path == subjectsFile {
			for name, value := range constants(f.ast) {
				if strings.HasPrefix(name, "kind") {
					kinds = append(kinds, regexp.QuoteMeta(value))
				}
			}
		}
	}
	if len(kinds) == 0 {
		return []string{subjectsFile + ": no kind… constants found, so no subject can be recognised"}
	}
	root := regexp.MustCompile(`^stoker\.(` + strings.Join(kinds, "|") + `)(\.|$)`)
	var found []string
	for _, f := range t.files {
		if f.isTest() || f.path == subjectsFile {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && root.MatchString(unquote(lit)) {
				found = append(found, t.at(lit, "subject %s is built by hand: use %s", lit.Value, subjectsFile))
			}
			return true
		})
	}
	return found
}

// checkSleeps covers tests too: a sleep is too short on a slow machine and too long on all others.
func checkSleeps(t tree) []string {
	var found []string
	for _, f := range t.files {
		for _, sel := range uses(f.ast, "time", "Sleep") {
			found = append(found, t.at(sel, "time.Sleep: wait for the condition itself, with a deadline"))
		}
	}
	return found
}

func checkInits(t tree) []string {
	var found []string
	for _, f := range t.files {
		for _, decl := range f.ast.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				found = append(found, t.at(fn, "func init: what a program uses is named where it is put together"))
			}
		}
	}
	return found
}

// checkSkips wants a reason with every skip; the test report counts and prints them.
func checkSkips(t tree) []string {
	var found []string
	for _, f := range t.files {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if ok && f.isTest() && (sel.Sel.Name == "SkipNow" || sel.Sel.Name == "Skip" && len(call.Args) == 0) {
				found = append(found, t.at(call, "%s without a reason: say what is missing on this machine", sel.Sel.Name))
			}
			return true
		})
	}
	return found
}

// versionsFile lists every change of behaviour that recorded histories must survive.
const versionsFile = "workflows/versions.go"

func checkVersions(t tree) []string {
	named := map[string]string{}
	for _, f := range t.files {
		if f.path == versionsFile {
			named = constants(f.ast)
		}
	}
	var found []string
	for _, f := range t.files {
		if f.isTest() {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !callsMethod(call, "GetVersion") || len(call.Args) < 2 {
				return true
			}
			id, ok := call.Args[1].(*ast.Ident)
			if !ok || named[id.Name] == "" {
				found = append(found, t.at(call, "GetVersion's change ID must be a constant of %s", versionsFile))
			}
			return true
		})
	}
	return found
}

// callsMethod tells whether a call is x.name(…).
func callsMethod(call *ast.CallExpr, name string) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == name
}

func checkFolderNames(t tree) []string {
	var found []string
	for _, f := range t.files {
		for _, name := range strings.Split(f.dir(), "/") {
			if slices.Contains(jungleNames, name) && token.IsIdentifier(name) {
				found = append(found, f.path+": a folder named "+name+" says nothing about what it holds")
			}
		}
	}
	return found
}
