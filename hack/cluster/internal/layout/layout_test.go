package layout

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindClimbsToTheCheckout(t *testing.T) {
	root := t.TempDir()
	module := filepath.Join(root, "hack", "cluster")
	deep := filepath.Join(module, "internal", "x")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(module, "go.mod"), []byte("module "+ModulePath+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, start := range []string{root, module, deep} {
		repo, err := Find(start)
		if err != nil {
			t.Fatal(err)
		}
		if repo.Root != root {
			t.Errorf("Find(%s) = %s, want %s", start, repo.Root, root)
		}
	}
	if _, err := Find(t.TempDir()); err == nil || !strings.Contains(err.Error(), "run this from the repository") {
		t.Errorf("outside a checkout: %v", err)
	}
}

func TestClusterNames(t *testing.T) {
	tests := map[string]bool{
		"default": true, "a": true, "e2e-2": true,
		"": false, "-a": false, "a-": false, "../x": false, "A": false, "2nd": false,
		strings.Repeat("a", 20): true, strings.Repeat("a", 21): false,
	}
	for name, valid := range tests {
		if _, err := (Repo{}).Cluster(name); (err == nil) != valid {
			t.Errorf("Cluster(%q): %v, want valid %t", name, err, valid)
		}
	}
}
