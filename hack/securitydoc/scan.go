package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const directive = "//security:attack "

// attackers are the positions from which attacks are tried, in the order of the table.
var attackers = []string{"anonymous", "tenant", "tenant with ConfigMaps", "tenant with pods", "worker", "administrator"}

// The calls that name a test, and those that name tests below them.
var (
	leaves     = []string{"It", "Entry"}
	containers = []string{"Describe", "DescribeTable", "Context", "When", "Run"}
)

// attack is one row of the table.
type attack struct {
	attacker, tried, holds string
	// test is the test's name or sentence; file is its path from the root, with slashes.
	test, file string
}

// scan collects the directives of all tests below root, except those in other modules' caches and built files.
func scan(root string) ([]attack, error) {
	var attacks []attack
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", "bin", "node_modules", "testdata"}, entry.Name()):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		found, err := inFile(filepath.ToSlash(name), source)
		attacks = append(attacks, found...)
		return err
	})
	slices.SortStableFunc(attacks, func(a, b attack) int {
		return slices.Index(attackers, a.attacker) - slices.Index(attackers, b.attacker)
	})
	return attacks, err
}

// inFile reads the directives of one file in their order.
func inFile(name string, source []byte) ([]attack, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	tests := testsOf(files, file)
	var attacks []attack
	for _, group := range file.Comments {
		below := files.Position(group.End()).Line + 1
		for _, comment := range group.List {
			text, found := strings.CutPrefix(comment.Text, directive)
			if !found {
				continue
			}
			row, err := parse(text)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", files.Position(comment.Pos()), err)
			}
			row.file = name
			if row.test = tests.at(below); row.test == "" {
				return nil, fmt.Errorf("%s: the directive is neither directly above a test nor in one", files.Position(comment.Pos()))
			}
			attacks = append(attacks, row)
		}
	}
	return attacks, nil
}

func parse(text string) (attack, error) {
	parts := strings.Split(text, "|")
	if len(parts) != 3 {
		return attack{}, fmt.Errorf("a directive has three parts, attacker | what is tried | what holds, and this one has %d", len(parts))
	}
	for i := range parts {
		if parts[i] = strings.TrimSpace(parts[i]); parts[i] == "" {
			return attack{}, fmt.Errorf("part %d of the directive is empty", i+1)
		}
	}
	if !slices.Contains(attackers, parts[0]) {
		return attack{}, fmt.Errorf("the attacker %q is not one of %s", parts[0], strings.Join(attackers, ", "))
	}
	return attack{attacker: parts[0], tried: parts[1], holds: parts[2]}, nil
}

// test is the position of a test in its file, and its name after the names of its containers.
type test struct {
	first, last int
	name        string
}

type tests []test

// at is the name of the test that begins at the line, else of the innermost test around the line; "" for none.
func (t tests) at(line int) string {
	name := ""
	for _, candidate := range t { // the outer ones first
		if candidate.first == line {
			return candidate.name
		}
		if candidate.first <= line && line <= candidate.last {
			name = candidate.name
		}
	}
	return name
}

func testsOf(files *token.FileSet, file *ast.File) tests {
	v := visitor{files: files, tests: &tests{}}
	for _, declaration := range file.Decls {
		v.within = ""
		if function, ok := declaration.(*ast.FuncDecl); ok && isTest(function.Name.Name) {
			v.add(function.Type.Pos(), function.End(), function.Name.Name)
			v.within = function.Name.Name + ": "
		}
		ast.Walk(v, declaration)
	}
	return *v.tests
}

type visitor struct {
	files  *token.FileSet
	tests  *tests
	within string
}

func (v visitor) add(first, last token.Pos, name string) {
	*v.tests = append(*v.tests, test{v.files.Position(first).Line, v.files.Position(last).Line, v.within + name})
}

// Visit notes the name of node's test, and continues below it.
func (v visitor) Visit(node ast.Node) ast.Visitor {
	if node == nil {
		return nil
	}
	name := caseName(node)
	if name == "" {
		return v
	}
	v.add(node.Pos(), node.End(), name)
	if call, ok := node.(*ast.CallExpr); ok && slices.Contains(containers, called(call)) {
		v.within += name + ": "
	}
	return v
}

func isTest(function string) bool {
	return strings.HasPrefix(function, "Test") || strings.HasPrefix(function, "Fuzz")
}

// caseName is the sentence of a call of It, Entry, DescribeTable or Run, or of an entry of a table of cases; "" where node
// is none of these.
func caseName(node ast.Node) string {
	switch n := node.(type) {
	case *ast.CallExpr:
		if (slices.Contains(leaves, called(n)) || slices.Contains(containers, called(n))) && len(n.Args) > 0 {
			return text(n.Args[0])
		}
	case *ast.KeyValueExpr:
		return text(n.Key)
	case *ast.CompositeLit:
		if len(n.Elts) == 0 {
			return ""
		}
		if pair, ok := n.Elts[0].(*ast.KeyValueExpr); ok {
			return text(pair.Value)
		}
		return text(n.Elts[0])
	}
	return ""
}

func called(call *ast.CallExpr) string {
	switch function := call.Fun.(type) {
	case *ast.Ident:
		return function.Name
	case *ast.SelectorExpr:
		return function.Sel.Name
	}
	return ""
}

// text is the value of a string literal; "" for any other expression.
func text(expression ast.Expr) string {
	literal, ok := expression.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return ""
	}
	value, err := strconv.Unquote(literal.Value)
	if err != nil {
		return ""
	}
	return value
}
