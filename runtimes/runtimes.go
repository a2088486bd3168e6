package runtimes

import (
	_ "embed"
	"regexp"
	"slices"
	"strings"
)

//go:embed python/runner.py
var pythonSource string

var pythonRunner = withoutComments(pythonSource)

var (
	pythonComment   = regexp.MustCompile(`(?m)^ *#.*$`)
	pythonDocstring = regexp.MustCompile(`(?m)^( *)"""(?:[^"]|"[^"])*"""$`)
)

// withoutComments makes the Python runner smaller, because it shares a ConfigMap with the user's code: it leaves out docstrings and
// the comments that have lines of their own. Lines keep their numbers.
func withoutComments(source string) string {
	source = pythonComment.ReplaceAllString(source, "")
	return pythonDocstring.ReplaceAllStringFunc(source, func(text string) string {
		indent := text[:strings.IndexByte(text, '"')]
		return indent + `""` + strings.Repeat("\n", strings.Count(text, "\n"))
	})
}

//go:embed node/runner.js
var nodeRunner string

// Runtime is how the code of a function is executed.
type Runtime struct {
	// Language of the code; an image and a function fit together when theirs is the same.
	Language string
	// Command is the interpreter with its flags; the path of the runner's file follows it.
	Command []string
	// HandlerFile is the name under which the user's code is mounted.
	HandlerFile string
	// RunnerFile is the name under which the runner is mounted.
	RunnerFile string
	// Runner is the text of the runner.
	Runner string
}

// family is a set of runtimes of one language that differ only in their version.
type family struct {
	names       *regexp.Regexp
	known       []string
	language    string
	interpreter string
	flags       []string
	handlerFile string
	runnerFile  string
	runner      *string
}

// pythonFlags isolate the supervisor from the Python settings of the image and of the function's environment: no PYTHON*
// variables, no site-packages, no files written. The process that runs the function's code is started without them.
var pythonFlags = []string{"-E", "-S", "-B"}

var families = []family{
	{
		names: regexp.MustCompile(`^python27$`), known: []string{"python27"},
		language: "python", interpreter: "python2.7", flags: pythonFlags,
		handlerFile: "handler.py", runnerFile: "runner.py", runner: &pythonRunner,
	},
	{
		names: regexp.MustCompile(`^python3[0-9]+$`),
		known: []string{"python36", "python37", "python38", "python39", "python310", "python311", "python312",
			"python313", "python314"},
		language: "python", interpreter: "python3", flags: pythonFlags,
		handlerFile: "handler.py", runnerFile: "runner.py", runner: &pythonRunner,
	},
	{
		names:    regexp.MustCompile(`^node[0-9]+$`),
		known:    []string{"node8", "node10", "node12", "node14", "node16", "node18", "node20", "node22", "node24"},
		language: "node", interpreter: "node",
		handlerFile: "handler.js", runnerFile: "runner.js", runner: &nodeRunner,
	},
}

// Lookup returns the runtime of that name: the value of spec.runtime of a Function or a FunctionImage.
func Lookup(runtime string) (Runtime, bool) {
	for _, f := range families {
		if f.names.MatchString(runtime) {
			return Runtime{
				Language:    f.language,
				Command:     append([]string{f.interpreter}, f.flags...),
				HandlerFile: f.handlerFile,
				RunnerFile:  f.runnerFile,
				Runner:      *f.runner,
			}, true
		}
	}
	return Runtime{}, false
}

// Language returns the language of a runtime: python or node.
func Language(runtime string) (string, bool) {
	found, ok := Lookup(runtime)
	return found.Language, ok
}

// Known lists names of runtimes for messages and catalogues, in order. Lookup accepts later versions of a language, which are
// not listed.
func Known() []string {
	var names []string
	for _, f := range families {
		names = append(names, f.known...)
	}
	return slices.Clip(names)
}
