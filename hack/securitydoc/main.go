// Command securitydoc writes the table of docs/security.md from the directives above the security tests:
//
//	//security:attack ATTACKER | WHAT IS TRIED | WHAT HOLDS
//
// A directive is directly above the test that shows it, or inside it: a Test or Fuzz function, a Ginkgo It, Entry or
// DescribeTable, a call of t.Run, or an entry of a table of cases. A directive that is malformed or belongs to no test is an error, so
// the table never names a test that does not exist.
//
// usage: securitydoc ROOT
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

const page = "docs/security.md"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: securitydoc ROOT")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "securitydoc:", err)
		os.Exit(1)
	}
}

func write(root string) error {
	attacks, err := scan(root)
	if err != nil {
		return err
	}
	file := filepath.Join(root, page)
	before, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	after, err := replaceTable(before, table(attacks))
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	if bytes.Equal(before, after) {
		return nil
	}
	return os.WriteFile(file, after, 0o644)
}
