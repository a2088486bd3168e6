package cli

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sharedcloud.io/function-operator/runtimes"
)

// needs fails the test if an interpreter is missing.
func needs(t *testing.T, interpreter string) {
	t.Helper()
	if _, err := exec.LookPath(interpreter); err != nil {
		t.Fatalf("the tests of `kubectl function test` need %s on PATH: %v", interpreter, err)
	}
}

func written(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestFilesOfInitPassTheirTest(t *testing.T) {
	for _, language := range []struct{ runtime, interpreter string }{{"python311", "python3"}, {"node20", "node"}} {
		t.Run(language.runtime, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "my_Function")
			if _, known := runtimes.Lookup(language.runtime); !known {
				command(t, t.Context(), nil, "init", folder, "--runtime", language.runtime).mustExit(t, ExitUsage, "", "must be one of")
				return
			}
			needs(t, language.interpreter)
			command(t, t.Context(), nil, "init", folder, "--runtime", language.runtime).mustExit(t, ExitOK, "function.yaml", "kubectl function run my-function")
			command(t, t.Context(), nil, "test", folder).mustExit(t, ExitOK, `✓ 1  ["World"]  → "Hello World"`, "2 of 2 inputs succeeded.")
			command(t, t.Context(), nil, "init", folder).mustExit(t, ExitUsage, "", "already exists: choose another directory")
		})
	}
}

func TestInitWritesAllOrNothing(t *testing.T) {
	folder := written(t, map[string]string{"inputs.json": "mine"})
	command(t, t.Context(), nil, "init", folder, "--name", "f").mustExit(t, ExitUsage, "", "inputs.json already exists")
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v %v", entries, err)
	}
}

func TestFunctionTestRunsTheRunner(t *testing.T) {
	needs(t, "python3")
	function := func(spec string) string {
		return "apiVersion: sharedcloud.io/v1alpha1\nkind: Function\nmetadata: {name: f}\nspec:\n  runtime: python311\n  image: python\n" + spec
	}
	const plain = "def handler(event):\n    return event[0] + 1\n"
	tests := map[string]struct {
		files  map[string]string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		"code without a manifest":     {map[string]string{"handler.py": plain}, []string{"--params", "((1,),)"}, ExitOK, "✓ 0  (1,)  → 2", "1 of 1 input succeeded."},
		"code in the manifest":        {map[string]string{"f.yaml": function("  code: |\n    def handler(event): return len(event)\n")}, []string{"--params", "[[1, 2]]"}, ExitOK, "→ 2", ""},
		"files in the manifest":       {map[string]string{"f.yaml": function("  code: |\n    import util\n    def handler(event): return util.two\n  files:\n    util.py: two = 2\n")}, []string{"--params", "[[1]]"}, ExitOK, "→ 2", ""},
		"environment variables":       {map[string]string{"f.yaml": function("  code: |\n    import os\n    def handler(event): return os.environ['E']\n  pod:\n    env: [{name: E, value: 'hello'}]\n")}, []string{"--params", "[[1]]"}, ExitOK, `→ "hello"`, ""},
		"a ConfigMap in the manifest": {map[string]string{"f.yaml": function("  codeFrom: {configMapKeyRef: {name: c, key: k.py}}\n") + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  k.py: |\n    def handler(event): return 3\n"}, []string{"--params", "[[1]]"}, ExitOK, "→ 3", ""},
		"a ConfigMap that kustomize generates": {map[string]string{"f.yaml": function("  codeFrom: {configMapRef: {name: c}}\n"), "main.py": "import util\ndef handler(event): return util.f(event)\n", "util.py": "def f(e): return 4\n",
			"kustomization.yaml": "resources: [f.yaml]\ngeneratorOptions: {disableNameSuffixHash: true}\nconfigMapGenerator:\n- name: c\n  files: [handler.py=main.py, util.py]\n"}, []string{"--params", "[[1]]"}, ExitOK, "→ 4", ""},
		"inputs in the directory":                     {map[string]string{"handler.py": plain, "inputs.csv": "1\n2\n"}, []string{"--typed-cells"}, ExitOK, "✓ 1  [2]  → 3", ""},
		"some inputs fail":                            {map[string]string{"handler.py": plain}, []string{"--params", "((1,), ('a',))"}, ExitFailed, "✗ 1  ('a',)  → Failed: TypeError", "1 of 2 inputs succeeded."},
		"output of the handler":                       {map[string]string{"handler.py": "def handler(event):\n    print('so far')\n"}, []string{"--params", "[[1]]"}, ExitOK, "     stdout | so far\n", ""},
		"a batch of inputs":                           {map[string]string{"f.yaml": function("  batchSize: 2\n  code: |\n    def handler(events): return [[event[0], len(events)] for event in events]\n")}, []string{"--params", "[[1], [2], [3]]"}, ExitOK, "✓ 1  [2]  → [2,2]", "3 of 3 inputs succeeded."},
		"a batch with an input that ends the process": {map[string]string{"f.yaml": function("  batchSize: 3\n  code: |\n    import os\n    def handler(events):\n        if [2] in [list(event) for event in events]: os._exit(3)\n        return [7 for event in events]\n")}, []string{"--params", "[[1], [2], [3]]"}, ExitFailed, "✓ 2  [3]  → 7", "2 of 3 inputs succeeded."},
		"an input that times out":                     {map[string]string{"handler.py": "import time\ndef handler(event): time.sleep(60)\n"}, []string{"--params", "[[1]]", "--timeout-per-input", "1s"}, ExitFailed, "✗ 0  [1]  → TimedOut", ""},
		"an input that ends the process":              {map[string]string{"handler.py": "import os\ndef handler(event):\n    if event[0] == 2: os._exit(7)\n    return 1\n"}, []string{"--params", "[[1], [2], [3]]"}, ExitFailed, "✓ 2  [3]  → 1", "2 of 3 inputs succeeded."},
		"a module that cannot be loaded":              {map[string]string{"handler.py": "import nosuchmodule\n"}, []string{"--params", "[[1]]"}, ExitFailed, "", "The code cannot be loaded: "},
		"a syntax error":                              {map[string]string{"handler.py": "def handler(event:\n"}, []string{"--params", "[[1]]"}, ExitFailed, "", "SyntaxError"},
		"a missing key":                               {map[string]string{"f.yaml": function("  codeFrom: {configMapKeyRef: {name: c, key: k.py}}\n")}, []string{"--params", "[[1]]"}, ExitUsage, "", "there is no file k.py"},
		"two functions":                               {map[string]string{"f.yaml": function("  code: x\n") + "---\n" + function("  code: y\n")}, []string{"--params", "[[1]]"}, ExitUsage, "", "there are several Functions"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			folder := written(t, tc.files)
			command(t, t.Context(), nil, append([]string{"test", folder}, tc.args...)...).mustExit(t, tc.code, tc.stdout, tc.stderr)
		})
	}
}

func TestFunctionTestPrintsAnOutcomePerInputInOrder(t *testing.T) {
	needs(t, "python3")
	folder := written(t, map[string]string{"handler.py": "def handler(event): return event[0]\n"})
	var lines strings.Builder
	for i := range 3000 {
		_ = json.NewEncoder(&lines).Encode([]int{i})
	}
	got := command(t, t.Context(), strings.NewReader(lines.String()), "test", folder, "--file", "-", "-o", "ndjson")
	got.mustExit(t, ExitOK, "", "3000 of 3000 inputs succeeded.")
	decoder, i := json.NewDecoder(strings.NewReader(got.stdout)), 0
	for ; decoder.More(); i++ {
		var o outcome
		if err := decoder.Decode(&o); err != nil || o.Index != i || string(o.Result) != string(mustJSON(i)) {
			t.Fatalf("outcome %d: %+v, %v", i, o, err)
		}
	}
	if i != 3000 {
		t.Errorf("%d outcomes", i)
	}
}

func mustJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

func TestInterruptedFunctionTestLeavesNoProcess(t *testing.T) {
	needs(t, "python3")
	mark := filepath.Join(t.TempDir(), "pid")
	folder := written(t, map[string]string{"handler.py": "import os, time\ndef handler(event):\n    open(event[0] + '.part', 'w').write(str(os.getpid()))\n    os.rename(event[0] + '.part', event[0])\n    time.sleep(600)\n"})
	ctx, interrupt := context.WithCancel(t.Context())
	done := make(chan commandResult)
	go func() { done <- command(t, ctx, nil, "test", folder, "--params", string(mustJSON([][]string{{mark}}))) }()
	until(t, "handler that runs", func() bool { _, err := os.Stat(mark); return err == nil })
	pid, err := os.ReadFile(mark)
	if err != nil {
		t.Fatal(err)
	}
	interrupt()
	(<-done).mustExit(t, ExitInterrupted, "", "interrupted")
	until(t, "end of the process "+string(pid), func() bool { _, err := os.Stat("/proc/" + string(pid)); return os.IsNotExist(err) })
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick, late := time.NewTicker(10*time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("there is no %s", what)
		}
	}
}

func TestFunctionTestReportsAMissingInterpreter(t *testing.T) {
	folder := written(t, map[string]string{"handler.py": "def handler(event): pass\n"})
	t.Setenv("PATH", t.TempDir())
	command(t, t.Context(), nil, "test", folder, "--params", "[[1]]").mustExit(t, ExitUsage, "", "python3 is not in PATH: install it")
}
