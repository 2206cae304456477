package e2e

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// tree is the parsed source of the module. It is read from an fs.FS, so that a test can plant a violation.
type tree struct {
	fset  *token.FileSet
	files []source
}

// source is one Go file.
type source struct {
	path string // slash-separated, from the root
	ast  *ast.File
}

func (s source) dir() string    { return path.Dir(s.path) }
func (s source) folder() string { return strings.SplitN(s.path, "/", 2)[0] }
func (s source) isTest() bool   { return strings.HasSuffix(s.path, "_test.go") }

// loadTree parses every Go file below the root, whatever its build constraints.
func loadTree(fsys fs.FS) (tree, error) {
	t := tree{fset: token.NewFileSet()}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && skipDir(fsys, name):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(t.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		t.files = append(t.files, source{path: name, ast: file})
		return nil
	})
	if err == nil && len(t.files) == 0 {
		err = fmt.Errorf("no Go file found: the rules would hold for nothing")
	}
	return t, err
}

// at names a place in the tree, with what is wrong there.
func (t tree) at(node ast.Node, format string, args ...any) string {
	p := t.fset.Position(node.Pos())
	return fmt.Sprintf("%s:%d: %s", p.Filename, p.Line, fmt.Sprintf(format, args...))
}

// importPath is the path of an import declaration, without quotes.
func importPath(spec *ast.ImportSpec) string { return unquote(spec.Path) }

// unquote returns the value of a string literal, and "" for any other expression.
func unquote(expr ast.Expr) string {
	lit, ok := expr.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	value, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return value
}

// localName is the name under which a file imports a package, "" if it does not.
func localName(file *ast.File, pkg string) string {
	for _, spec := range file.Imports {
		if importPath(spec) != pkg {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(pkg)
	}
	return ""
}

// uses lists the places where a file mentions one of the names of an imported package.
func uses(file *ast.File, pkg string, names ...string) []*ast.SelectorExpr {
	local := localName(file, pkg)
	if local == "" {
		return nil
	}
	var found []*ast.SelectorExpr
	ast.Inspect(file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == local && slices.Contains(names, sel.Sel.Name) {
			found = append(found, sel)
		}
		return true
	})
	return found
}

// constants maps the string constants that a file declares at its top level to their values.
func constants(file *ast.File) map[string]string {
	found := map[string]string{}
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.CONST {
			continue
		}
		for _, spec := range gen.Specs {
			value := spec.(*ast.ValueSpec)
			for i, name := range value.Names {
				if i < len(value.Values) {
					found[name.Name] = unquote(value.Values[i])
				}
			}
		}
	}
	return found
}
