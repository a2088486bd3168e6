package runtimes_test

import (
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sharedcloud.io/function-operator/runtimes"
)

func TestLookup(t *testing.T) {
	for name, tc := range map[string]struct {
		runtime string
		want    string // the interpreter; "" for a runtime that is not known
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
		"a language that nobody runs here":  {runtime: "cobol85"},
		"Node, which has no runner yet":     {runtime: "node8"},
	} {
		t.Run(name, func(t *testing.T) {
			runtime, ok := runtimes.Lookup(tc.runtime)
			if ok != (tc.want != "") {
				t.Fatalf("Lookup(%q) says %t", tc.runtime, ok)
			}
			if !ok {
				return
			}
			want := runtimes.Runtime{Language: "python", Command: []string{tc.want, "-E", "-S", "-B"},
				HandlerFile: "handler.py", RunnerFile: "runner.py", Runner: readFile(t, "python/runner.py")}
			if diff := cmp.Diff(want, runtime); diff != "" {
				t.Errorf("Lookup(%q) (-want +got):\n%s", tc.runtime, diff)
			}
		})
	}
}

func TestACallerMayChangeTheCommandItGot(t *testing.T) {
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
			t.Errorf("%s is listed and not found", name)
		}
	}
	if !slices.Contains(known, "python27") || !slices.Contains(known, "python36") {
		t.Errorf("the runtimes of 2018 are not all in %v", known)
	}
}

// The size is bounded because code and runner share a ConfigMap of 1 MiB, with 900 KiB for the code.
func TestTheRunnerLeavesRoomForTheCode(t *testing.T) {
	info, err := os.Stat("python/runner.py")
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 100<<10 {
		t.Errorf("the runner has %d bytes", info.Size())
	}
}

// grammar reads the runner with the grammar of Python 2, and with what this Python 3 offers of 3.4's.
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
