package build

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
)

func TestHashFollowsWhatABuildIsMadeOf(t *testing.T) {
	files := func(extra ...string) fstest.MapFS {
		m := fstest.MapFS{
			"go.mod":            {Data: []byte("module x")},
			"cmd/a/main.go":     {Data: []byte("package main")},
			"cmd/other/main.go": {Data: []byte("package main")},
		}
		for i := 0; i+1 < len(extra); i += 2 {
			m[extra[i]] = &fstest.MapFile{Data: []byte(extra[i+1])}
		}
		return m
	}
	sources := []string{"go.mod", "cmd/a"}
	hash := func(m fstest.MapFS, extra ...string) string {
		sum, err := Hash(m, sources, extra...)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	base := hash(files(), "go1.26")
	same := map[string]fstest.MapFS{
		"again":             files(),
		"another program":   files("cmd/other/main.go", "changed"),
		"a test of its own": files("cmd/a/main_test.go", "package main"),
	}
	for name, m := range same {
		if hash(m, "go1.26") != base {
			t.Errorf("%s: the hash changed", name)
		}
	}
	changed := map[string]string{
		"a source":      hash(files("cmd/a/main.go", "package  main"), "go1.26"),
		"a new source":  hash(files("cmd/a/b.go", ""), "go1.26"),
		"a requirement": hash(files("go.mod", "module y"), "go1.26"),
		"the compiler":  hash(files(), "go1.27"),
		"moved bytes":   hash(files(), "go1.2", "6"),
	}
	for name, sum := range changed {
		if sum == base {
			t.Errorf("%s changed, but not the hash", name)
		}
	}
}

func TestKubernetesVersion(t *testing.T) {
	got, err := KubernetesVersion([]byte("module x\n\nrequire (\n\tk8s.io/kubernetes v1.37.2\n)\n"))
	if err != nil || got != "v1.37.2" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := KubernetesVersion([]byte("module x\n")); err == nil {
		t.Error("a go.mod without Kubernetes was taken")
	}
	if flags := versionFlags("v1.37.2"); !strings.Contains(flags, "-X k8s.io/component-base/version.gitMinor=37 ") {
		t.Errorf("flags: %s", flags)
	}
}

func TestProgressLinesAreCountedAndErrorsKept(t *testing.T) {
	var n atomic.Int64
	rest := readProgress(strings.NewReader("go: downloading k8s.io/api v0.37.2\nk8s.io/api/core/v1\n# k8s.io/x\nx.go:1:2: undefined: y\n"), &n)
	if n.Load() != 2 {
		t.Errorf("counted %d lines, want 2", n.Load())
	}
	if rest != "# k8s.io/x\nx.go:1:2: undefined: y" {
		t.Errorf("kept %q", rest)
	}
}
