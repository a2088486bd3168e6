package runtimes_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sharedcloud.io/function-operator/runtimes"
)

func TestLookup(t *testing.T) {
	for name, tc := range map[string]struct {
		runtime string
		want    string // the interpreter; "" for a runtime that is not known
		node    bool
	}{
		"Python 2.7":                        {runtime: "python27", want: "python2.7"},
		"Python 3.6":                        {runtime: "python36", want: "python3"},
		"a later Python 3":                  {runtime: "python399", want: "python3"},
		"Python 3 without a minor version":  {runtime: "python3"},
		"Python 2.6":                        {runtime: "python26"},
		"Python 2.7 with something behind":  {runtime: "python270"},
		"a version that is written in full": {runtime: "python3.11"},
		"upper case":                        {runtime: "Python311"},
		"nothing":                           {runtime: ""},
		"a language without a runtime":      {runtime: "cobol85"},
		"Node 8":                            {runtime: "node8", want: "node", node: true},
		"a later Node":                      {runtime: "node99", want: "node", node: true},
		"Node without a version":            {runtime: "node"},
		"Node with a minor version":         {runtime: "node8.17"},
	} {
		t.Run(name, func(t *testing.T) {
			runtime, ok := runtimes.Lookup(tc.runtime)
			if ok != (tc.want != "") {
				t.Fatalf("Lookup(%q) returns %t", tc.runtime, ok)
			}
			if !ok {
				return
			}
			want := runtimes.Runtime{Language: "python", Command: []string{tc.want, "-E", "-S", "-B"},
				HandlerFile: "handler.py", RunnerFile: "runner.py", Runner: pythonRunner(t)}
			if tc.node {
				want = runtimes.Runtime{Language: "node", Command: []string{tc.want},
					HandlerFile: "handler.js", RunnerFile: "runner.js", Runner: readFile(t, "node/runner.js")}
			}
			if diff := cmp.Diff(want, runtime); diff != "" {
				t.Errorf("Lookup(%q) (-want +got):\n%s", tc.runtime, diff)
			}
		})
	}
}

func TestACallerMayChangeTheCommandThatItGets(t *testing.T) {
	first, _ := runtimes.Lookup("python311")
	first.Command[0] = "changed"
	if second, _ := runtimes.Lookup("python311"); second.Command[0] != "python3" {
		t.Errorf("the table's command became %q", second.Command)
	}
}

func TestEveryKnownRuntimeIsFound(t *testing.T) {
	known := runtimes.Known()
	for _, name := range known {
		if _, ok := runtimes.Lookup(name); !ok {
			t.Errorf("%s is listed but not found", name)
		}
	}
	for _, name := range []string{"python27", "python36", "node8"} {
		if !slices.Contains(known, name) {
			t.Errorf("%s, a runtime of the 2018 API, is not in %v", name, known)
		}
	}
}

func TestTheLanguageOfARuntime(t *testing.T) {
	for runtime, want := range map[string]string{"python27": "python", "python311": "python", "node8": "node", "node20": "node", "cobol85": ""} {
		if got, known := runtimes.Language(runtime); got != want || known != (want != "") {
			t.Errorf("the language of %s is %q (%t), not %q", runtime, got, known, want)
		}
	}
}

// Code and runner share a ConfigMap of 1 MiB, of which 900 KiB are for the code.
func TestTheRunnersLeaveRoomForTheCode(t *testing.T) {
	for _, name := range []string{"python311", "node20"} {
		if runtime, _ := runtimes.Lookup(name); len(runtime.Runner) > 112<<10 {
			t.Errorf("the runner of %s has %d bytes", name, len(runtime.Runner))
		}
	}
}

func pythonRunner(t *testing.T) string {
	t.Helper()
	runtime, _ := runtimes.Lookup("python311")
	return runtime.Runner
}

// sameCode compares two files without docstrings: their syntax, and the lines and columns of it.
const sameCode = `
import ast, sys
def read(path):
    tree = ast.parse(open(path).read())
    for node in ast.walk(tree):
        body = getattr(node, 'body', None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            del body[0]
        for place in ('end_lineno', 'end_col_offset'):
            if hasattr(node, place):
                setattr(node, place, 0)
    return ast.dump(tree, include_attributes=True)
texts = [read(path) for path in sys.argv[1:]]
print(len(texts[0]) > 100000, texts[0] == texts[1])
`

func TestTheRunnerWithoutCommentsIsTheSameCode(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/runner.py"
	writeFile(t, path, pythonRunner(t))
	out, err := exec.Command(needPython3(t).path, "-c", sameCode, "python/runner.py", path).CombinedOutput()
	if err != nil || string(out) != "True True\n" {
		t.Errorf("%v: %s", err, out)
	}
	if source := readFile(t, "python/runner.py"); len(pythonRunner(t)) > len(source)*9/10 {
		t.Errorf("%d bytes of %d are left", len(pythonRunner(t)), len(source))
	}
}

// grammar parses the runner with the grammar of Python 2, and with that of 3.4 as far as this Python 3 has it.
const grammar = `
import ast, sys, warnings
warnings.simplefilter('ignore')
source = open('python/runner.py', 'rb').read().decode('ascii')
ast.parse(source, 'runner.py', feature_version=(3, 4))
try:
    from lib2to3 import pygram, pytree
    from lib2to3.pgen2 import driver
except ImportError:
    sys.exit('this Python 3 has no lib2to3, and there is no Python 2.7: the grammar of Python 2 cannot be checked'
             ' (Debian: apt-get install python3-lib2to3)')
driver.Driver(pygram.python_grammar, convert=pytree.convert).parse_string(source)
`

func TestTheRunnerIsPython2AndPython3(t *testing.T) {
	if python, err := python2(); err == nil {
		if out, err := exec.Command(python.path, "-E", "-c", "compile(open('python/runner.py').read(), 'runner.py', 'exec')").CombinedOutput(); err != nil {
			t.Errorf("Python 2.7 cannot read the runner: %v\n%s", err, out)
		}
		out, err := exec.Command(needPython3(t).path, "-c", "import ast; ast.parse(open('python/runner.py').read(), feature_version=(3, 4))").CombinedOutput()
		if err != nil {
			t.Errorf("Python 3.4 could not read the runner: %v\n%s", err, out)
		}
		return
	}
	if out, err := exec.Command(needPython3(t).path, "-c", grammar).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// later are patterns of what Node 8 cannot parse, or does not have. They are searched in the code without comments and strings.
var later = map[string]string{
	`\?\.[^\d]`:       "optional chaining",
	`\?\?`:            "nullish coalescing",
	`\bcatch\s*\{`:    "catch without a binding",
	`\b\d+n\b`:        "a BigInt literal",
	`[(\[,]\s*\.\.\.`: "spread, which Node 8 has in calls and arrays but not in objects: do without",
	`\{\s*\.\.\.`:     "spread in an object",
	`\*\*=|&&=|\|\|=`: "a logical assignment",
	`\bfor\s+await\b`: "asynchronous iteration",
	`(?m)(?:^class[^\n]*\{|^  \})\n+  (?:static\s+)?#?\w+\s*=`:                                     "a class field",
	`\.(?:at|flat|flatMap|matchAll|replaceAll|fromEntries|trimStart|trimEnd|finally|allSettled)\(`: "a method of a later version",
	`\bglobalThis\b|\bqueueMicrotask\b|\brmSync\b|\bhrtime\.bigint\b`:                              "a name of a later version",
}

func TestTheNodeRunnerIsWrittenForNode8(t *testing.T) {
	// The joined file has the same code without its layout, on which one of the patterns relies.
	files, err := filepath.Glob("node/src/*.js")
	if err != nil || len(files) < 10 {
		t.Fatalf("there are %d modules in node/src (%v)", len(files), err)
	}
	for _, file := range files {
		source := readFile(t, file)
		if strings.Contains(source, "require('node:") {
			t.Errorf("%s: Node 8 does not support node: in require", file)
		}
		for pattern, what := range later {
			for _, found := range regexp.MustCompile(pattern).FindAllStringIndex(codeOf(source), -1) {
				t.Errorf("%s:%d: %s", file, strings.Count(codeOf(source)[:found[0]], "\n")+1, what)
			}
		}
	}
	for _, probe := range []string{"a?.b", "a ?? b", "try {} catch {}", "x = 10n;", "f(...a)", "{ ...a }", "class A {\n  x = 1;\n}", "a.at(-1)"} {
		found := false
		for pattern := range later {
			found = found || regexp.MustCompile(pattern).MatchString(codeOf(probe))
		}
		if !found {
			t.Errorf("the patterns do not match %q", probe)
		}
	}
	eachNode(t, func(t *testing.T, in language) {
		if out, err := exec.Command(in.path, "--check", "node/runner.js").CombinedOutput(); err != nil {
			t.Errorf("%s cannot read the runner: %v\n%s", in.path, err, out)
		}
	})
}

// codeOf replaces the comments, strings and regular expressions of a source, and keeps its lines.
func codeOf(source string) string {
	const text = `'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"`
	const expression = `[(=,:!&|?]\s*/(?:[^/\\\n\[*]|\\.|\[(?:[^\]\\\n]|\\.)*\])(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])*/[gy]*`
	blanks := regexp.MustCompile(`(?s:/\*.*?\*/)|//[^\n]*|` + text + `|` + expression)
	return blanks.ReplaceAllStringFunc(source, func(found string) string {
		return strings.Repeat("\n", strings.Count(found, "\n")) + "0"
	})
}
