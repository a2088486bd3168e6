package postgrestest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A package's tests of a store run on SQLite under their own names, and on PostgreSQL as subtests of a test with this name.
const onPostgres = "TestOnPostgreSQL"

// RunOnPostgreSQL runs a table of tests on PostgreSQL. The calling test must be named TestOnPostgreSQL.
func RunOnPostgreSQL(t *testing.T, table map[string]func(*testing.T)) {
	t.Helper()
	if t.Name() != onPostgres {
		t.Fatalf("the table must be run by a test named %s, not by %s", onPostgres, t.Name())
	}
	for name, test := range table {
		t.Run(name, test)
	}
}

// OnPostgreSQL reports whether a test runs on PostgreSQL, because RunOnPostgreSQL has started it.
func OnPostgreSQL(t testing.TB) bool { return strings.HasPrefix(t.Name(), onPostgres+"/") }

// CheckTable fails for each test of the package in the current folder that calls one of the openers and is not in the table.
func CheckTable(t *testing.T, table map[string]func(*testing.T), openers ...string) {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(function.Name.Name, "Test") {
				continue
			}
			ast.Inspect(function.Body, func(node ast.Node) bool {
				call, ok := node.(*ast.Ident)
				if !ok || !slices.Contains(openers, call.Name) {
					return true
				}
				checked++
				if table[function.Name.Name] == nil {
					t.Errorf("%s calls %s and is not in the table onEveryEngine: add it, or open a specific engine", function.Name.Name, call.Name)
				}
				return true
			})
		}
	}
	if checked == 0 {
		t.Errorf("no test calls any of %v", openers)
	}
}
