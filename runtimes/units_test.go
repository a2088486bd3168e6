package runtimes_test

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// The modules of the Node runner have unit tests of their own, for Node's test runner (Node 18 and later).
func TestUnitsOfTheNodeRunner(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("node/test/*.test.js")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no tests in node/test (%v)", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if out, err := exec.Command(needNode(t).path, "--test-reporter=spec", file).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestUnitsOfThePythonRunner(t *testing.T) {
	eachPython(t, func(t *testing.T, in language) {
		if out, err := exec.Command(in.path, "python/decisions_test.py").CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}
