package runtimes_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var returnedByNode = map[string]struct {
	expression string
	want       reported
	refused    string // part of the error ResultNotSerializable
	needs      string
}{
	"an integer":                       {expression: `42`, want: reported{JSON: `42`, Text: "-"}},
	"an integer of 40 digits":          {expression: `BigInt('1' + '0'.repeat(39))`, want: reported{JSON: "1" + strings.Repeat("0", 39), Text: "-"}, needs: "BigInt"},
	"integers of any size in a list":   {expression: `[BigInt(-7), { a: BigInt('9'.repeat(5000)) }]`, want: reported{JSON: `[-7,{"a":` + strings.Repeat("9", 5000) + `}]`, Text: "-"}, needs: "BigInt"},
	"a float":                          {expression: `0.1 + 0.2`, want: reported{JSON: `0.30000000000000004`, Text: "-"}},
	"a large float":                    {expression: `1e300`, want: reported{JSON: `1e+300`, Text: "-"}},
	"not a number":                     {expression: `NaN`, want: reported{Text: "NaN"}},
	"minus infinity":                   {expression: `-Infinity`, want: reported{Text: "-Infinity"}},
	"infinity in a list":               {expression: `[1, Infinity]`, want: reported{JSON: `[1,"Infinity"]`, Text: "[ 1, Infinity ]"}},
	"not a number deep in an object":   {expression: `({ a: [{ b: NaN }] })`, want: reported{JSON: `{"a":[{"b":"NaN"}]}`, Text: "{ a: [ { b: NaN } ] }"}},
	"a text":                           {expression: `'Hello Michael'`, want: reported{JSON: `"Hello Michael"`, Text: "-"}},
	"a text that is not ASCII":         {expression: `'\xe9\u20ac\ud83d\ude00'`, want: reported{JSON: `"é€😀"`, Text: "-"}},
	"a lone surrogate":                 {expression: `'\ud800'`, want: reported{JSON: `"\ud800"`, Text: "-"}},
	"lone surrogates in an object":     {expression: `({ '\udfff': 'a\ud83d\ude00\ud83d' })`, want: reported{JSON: `{"\udfff":"a😀\ud83d"}`, Text: "-"}},
	"a text with line breaks":          {expression: `'a\nb\0'`, want: reported{JSON: `"a\nb\u0000"`, Text: "-"}},
	"undefined":                        {expression: `undefined`, want: reported{JSON: `null`, Text: "undefined"}},
	"null":                             {expression: `null`, want: reported{JSON: `null`, Text: "-"}},
	"a boolean":                        {expression: `true`, want: reported{JSON: `true`, Text: "-"}},
	"a list":                           {expression: `[1, 'a', null]`, want: reported{JSON: `[1,"a",null]`, Text: "-"}},
	"an object":                        {expression: `({ a: [1.5], b: undefined })`, want: reported{JSON: `{"a":[1.5]}`, Text: "-"}},
	"a date":                           {expression: `new Date(0)`, want: reported{JSON: `"1970-01-01T00:00:00.000Z"`, Text: "-"}},
	"a Map":                            {expression: `new Map([[1, 2]])`, want: reported{JSON: `[[1,2]]`, Text: "Map(1) { 1 => 2 }"}},
	"a Set in a list":                  {expression: `[new Set([1])]`, want: reported{JSON: `[[1]]`, Text: "[ Set(1) { 1 } ]"}},
	"a function":                       {expression: `function named() {}`, refused: "$ is a function (named): return what it returns"},
	"a function in an object":          {expression: `({ f: function named() {} })`, refused: "$.f is a function (named)"},
	"a symbol":                         {expression: `Symbol('s')`, refused: "$ is a symbol (Symbol(s))"},
	"an error":                         {expression: `new Error('returned')`, want: reported{JSON: `{"name":"Error","message":"returned"}`, Text: "-"}},
	"an array in itself":               {expression: `circle`, refused: "$[0] is the same object as $"},
	"a toJSON":                         {expression: `({ toJSON: () => ({ x: 1 }) })`, want: reported{JSON: `{"x":1}`, Text: "-"}},
	"an array nested too deeply":       {expression: `deep(100000)`, refused: "nested too deeply"},
	"an array that JSON can represent": {expression: `deep(2000)`, want: reported{JSON: strings.Repeat("[", 2001) + strings.Repeat("]", 2001), Text: "-"}},
	"many numbers":                     {expression: `Array.from({ length: 300 }, (_, i) => i)`, want: reported{JSON: numbers(300), Text: "-"}},
	"a promise":                        {expression: `Promise.resolve(7)`, want: reported{JSON: `7`, Text: "-"}},
	"a promise of a promise":           {expression: `Promise.resolve({ then: (fulfil) => setTimeout(fulfil, 1, 'x') })`, want: reported{JSON: `"x"`, Text: "-"}},
}

func numbers(n int) string {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	text, _ := json.Marshal(all)
	return string(text)
}

func TestNodeResultsLoseNothing(t *testing.T) {
	var code strings.Builder
	code.WriteString(`
const circle = [];
circle.push(circle);
function deep(n) {
  let nested = [];
  for (let i = 0; i < n; i++) nested = [nested];
  return nested;
}
function handler(event) {
  return VALUES[event[0]]();
}
const VALUES = [
`)
	var names []string
	for name, tc := range returnedByNode {
		names = append(names, name)
		if tc.needs != "" {
			tc.expression = fmt.Sprintf("typeof %s === 'undefined' ? '%s is missing' : %s", tc.needs, tc.needs, tc.expression)
		}
		fmt.Fprintf(&code, "  () => (%s),\n", tc.expression)
	}
	code.WriteString("];\n")
	eachNode(t, func(t *testing.T, in language) {
		e := newExchange(t, len(names))
		e.batch = 100
		run(t, in, e, code.String())
		for i, name := range names {
			tc, o := returnedByNode[name], e.outcome(t, i)
			if tc.needs != "" && string(o.Result) == fmt.Sprintf(`"%s is missing"`, tc.needs) {
				continue
			}
			want, got := tc.want, reportedBy(o)
			want.Status = "Succeeded"
			if tc.refused != "" {
				if o.Error == nil || o.Error.Type != "ResultNotSerializable" || !strings.Contains(o.Error.Message, tc.refused) {
					t.Errorf("%s is reported as %.2000v with the error %+v, not %q", name, got, o.Error, tc.refused)
				}
				continue
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%.2000s", name, diff)
			}
		}
	})
}

func TestTheEventIsAnArray(t *testing.T) {
	// Values are shown in a form that distinguishes their types.
	const shows = `
function show(value) {
  if (value === undefined) return 'undefined';
  if (typeof value === 'bigint') return value + 'n';
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  if (Buffer.isBuffer(value)) return 'Buffer ' + value.toString('hex');
  if (value instanceof Set) return 'Set ' + show(Array.from(value));
  if (value instanceof Map) return 'Map ' + show(Array.from(value));
  if (Array.isArray(value)) return '[' + value.map(show).join(' ') + ']';
  if (value && typeof value === 'object') return '{' + Object.keys(value).map((key) => key + ':' + show(value[key])).join(' ') + '}' + (Object.getPrototypeOf(value) === Object.prototype ? '' : '?');
  return JSON.stringify(value);
}
function handler(event) {
  if (!Array.isArray(event)) throw new Error('no array');
  return show(event).slice(0, 200);
}
`
	eachNode(t, func(t *testing.T, in language) {
		t.Run("of JSON values", func(t *testing.T) {
			texts := map[string]string{
				`[1, [2.5, null], {"a": true}]`:        `[1 [2.5 null] {a:true}]`,
				`[]`:                                   `[]`,
				`[9007199254740991, 9007199254740993]`: `[9007199254740991 9007199254740993n]`,
				`[{"a": [-123456789012345678901234567890]}]`:              `[{a:[-123456789012345678901234567890n]}]`,
				`["12345678901234567890", 1e400, 12345678901234567890.0]`: `["12345678901234567890" Infinity 12345678901234567000]`,
				`[{"__proto__": 1}, "\"\\", "é"]`:                         `[{__proto__:1} "\"\\" "é"]`,
			}
			e := newExchange(t, 0)
			var want []string
			for text, shown := range texts {
				e.inputs = append(e.inputs, input{Index: len(want), JSON: json.RawMessage(text)})
				e.pending = append(e.pending, len(want))
				want = append(want, shown)
			}
			run(t, in, e, shows)
			for i, o := range want {
				var got string
				if err := json.Unmarshal(e.outcome(t, i).Result, &got); err != nil || got != o {
					if strings.HasSuffix(t.Name(), "node-1/of_JSON_values") && strings.Contains(o, "n]") {
						continue // Node 8 has no BigInt
					}
					t.Errorf("%s is seen as %s, not %s (%v, %+v)", e.inputs[i].JSON, got, o, err, e.outcome(t, i).Error)
				}
			}
		})
		t.Run("of Python literals", func(t *testing.T) {
			texts := []string{`(1, 2, 3)`, `('Michael',)`, `((1, 2), b'x\xff', None)`, `()`, `(1, 2)  # comment`, `(-1.5, 1e3, 'a' "b")`, `("(1,), (2,)",)`,
				`({'a': 1}, {1: 'a', 'b': 2}, {1, 2}, set(), {})`, `(True, 1+2j, ..., 1e999)`, `(,`, `(open('x'),)`, `('\N{DIGIT ONE}',)`,
				"(" + strings.Repeat("[", 300) + strings.Repeat("]", 300) + ",)"}
			want := []string{`[1 2 3]`, `["Michael"]`, `[[1 2] Buffer 78ff null]`, `[]`, `[1 2]`, `[-1.5 1000 "ab"]`, `["(1,), (2,)"]`,
				`[{a:1} Map [[1 "a"] ["b" 2]] Set [1 2] Set [] {}]`, `[true {real:1 imag:2} undefined Infinity]`, "SyntaxError", "SyntaxError", "SyntaxError", "SyntaxError"}
			e := newExchange(t, 0)
			e.batch = 100
			e.literals(texts...)
			run(t, in, e, shows)
			for i := range texts {
				o, got := e.outcome(t, i), ""
				if o.Error != nil {
					got = o.Error.Type
				} else if err := json.Unmarshal(o.Result, &got); err != nil {
					t.Fatal(err)
				}
				if got != want[i] {
					t.Errorf("%.100s is seen as %s, not %s", texts[i], got, want[i])
				}
			}
		})
		t.Run("as deep as JSON may be", func(t *testing.T) {
			e := newExchange(t, 3)
			e.inputs[1].JSON = json.RawMessage(strings.Repeat("[", 9_990) + strings.Repeat("]", 9_990))
			run(t, in, e, "function handler(event) { return event.length }")
			for _, index := range []int{0, 2} {
				if o := e.outcome(t, index); o.Status != "Succeeded" {
					t.Errorf("the neighbour %d of the deep input is %s: %+v", index, o.Status, o.Error)
				}
			}
		})
	})
}

func TestNodeTracebacksShowOnlyTheUsersCode(t *testing.T) {
	for name, code := range map[string]string{
		"of a function":          "function inner() {\n  throw new Error('This is a test Exception');\n}\nfunction handler(event) {\n  console.log('before');\n  inner();\n}\n",
		"of an async function":   "async function inner() {\n  throw new Error('This is a test Exception');\n}\nasync function handler(event) {\n  console.log('before');\n  await inner();\n}\n",
		"after a wait":           "function inner() {\n  throw new Error('This is a test Exception');\n}\nasync function handler(event) {\n  console.log('before'); await new Promise((resolve) => setTimeout(resolve, 1)); \n  inner();\n}\n",
		"with an import of Node": "function inner() {\n  throw new Error('This is a test Exception');\n}\nfunction handler(event) {\n  console.log('before');\n  [1].forEach(inner);\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			eachNode(t, func(t *testing.T, in language) {
				e := newExchange(t, 1)
				w := run(t, in, e, code)
				o := e.outcome(t, 0)
				traceback := o.Error.Traceback
				if !strings.HasPrefix(traceback, "Error: This is a test Exception\n    at inner (handler.js:2:9)\n") {
					t.Errorf("the traceback is\n%s", traceback)
				}
				for _, alien := range []string{"runner.js", "internal/"} {
					if strings.Contains(traceback, alien) {
						t.Errorf("the traceback shows %s:\n%s", alien, traceback)
					}
				}
				if string(o.Stderr) != traceback || string(o.Stdout) != "before\n" {
					t.Errorf("stderr is %q, not the traceback, and stdout %q", o.Stderr, o.Stdout)
				}
				if !strings.Contains(w.stdout.String(), "before\n") || !strings.Contains(w.stderr.String(), traceback) {
					t.Errorf("it is missing in the container's streams: %q, %q", w.stdout.String(), w.stderr.String())
				}
			})
		})
	}
}

func TestEveryWayToWriteAHandler(t *testing.T) {
	for name, code := range map[string]string{
		"a plain function":                    `function handler(event) { return 'x' + event[0] }`,
		"in a module with other declarations": "#!/usr/bin/env node\n'use strict';\nvar module = 7, exports = 8;\nfunction handler(event) { return 'x' + event[0] }  // the end",
		"an async function":                   `async function handler(event) { return 'x' + event[0] }`,
		"a constant":                          `const handler = async (event) => 'x' + event[0];`,
		"a global without a declaration":      `handler = function (event) { return 'x' + event[0] }`,
		"exports.handler":                     `exports.handler = (event) => 'x' + event[0];`,
		"module.exports with a handler":       `module.exports = { handler: async (event) => 'x' + event[0] };`,
		"module.exports that is the function": `module.exports = function (event) { return 'x' + event[0] }`,
		"with a byte order mark":              "\ufefffunction handler(event) { return 'x' + event[0] }",
	} {
		t.Run(name, func(t *testing.T) {
			eachNode(t, func(t *testing.T, in language) {
				e := newExchange(t, 2)
				run(t, in, e, code)
				if got := string(e.outcome(t, 1).Result); got != `"x1"` {
					t.Errorf("the result is %s (%+v)", got, e.outcome(t, 1).Error)
				}
			})
		})
	}
}

func TestANodeModuleThatCannotBeLoadedIsReported(t *testing.T) {
	const signature = "needs to have the following signature: function handler(event) { ... }"
	for name, tc := range map[string]struct {
		code string
		want fault
	}{
		"a syntax error":                {"function handler(event) {\n  return (\n}\n", fault{Type: "SyntaxError", Traceback: "handler.js:3\n}\n^\n"}},
		"Python":                        {"def handler(event):\n    return 42\n", fault{Type: "SyntaxError", Traceback: "handler.js:1\n"}},
		"an open comment":               {"function handler(event) {}\n/* for ever", fault{Type: "SyntaxError"}},
		"no handler":                    {"function handle(event) {}\n", fault{Type: "HandlerMissing", Message: signature}},
		"null":                          {"", fault{Type: "HandlerMissing", Message: signature}},
		"a handler that is no function": {"const handler = 5;\n", fault{Type: "HandlerNotCallable", Message: signature + ": its handler is of the type number"}},
		"a module that throws":          {"\nthrow new RangeError('at the top');\n", fault{Type: "RangeError", Message: "at the top", Traceback: "handler.js:2"}},
		"a module that rejects":         {"Promise.reject(new RangeError('at the top'));\nfunction handler(event) {}", fault{Type: "RangeError", Message: "at the top"}},
		"a require that fails":          {"require('nothing_of_this_name');\n", fault{Type: "Error", Message: "nothing_of_this_name", Traceback: "handler.js:1"}},
		"a module that exits":           {"process.exit(4);\n", fault{Type: "ProcessExited", Message: "exited with status 4 while it loaded the module"}},
		"a module that dies":            {"process.kill(process.pid, 'SIGSEGV');\nfor (;;);", fault{Type: "ProcessKilled", Message: "signal 11 (SIGSEGV) while it loaded the module"}},
		"a module that takes for ever":  {"for (;;);\n", fault{Type: "LoadTimedOut", Message: "not loaded within 1 s"}},
	} {
		t.Run(name, func(t *testing.T) {
			eachNode(t, func(t *testing.T, in language) { cannotBeLoaded(t, in, tc.code, tc.want) })
		})
	}
}

func TestAWorkerReportsThatItCannotStartAProcess(t *testing.T) {
	eachNode(t, func(t *testing.T, in language) {
		e := newExchange(t, 3)
		e.decide = func(c call, a *answer) (int, string) {
			if c.LoadError != nil {
				a.Action = "finished"
			}
			return 0, ""
		}
		run(t, in, e, trivial(in), edited("childProcess.spawn(process.execPath", "childProcess.spawn('/nothing/here'"))
		if last := e.calls[len(e.calls)-1].LoadError; last == nil || last.Type != "ProcessNotStarted" || !strings.Contains(last.Message, "ENOENT") {
			t.Errorf("the worker reports %+v", last)
		}
	})
}

func TestTheNodeChildHasTheUsersEnvironment(t *testing.T) {
	eachNode(t, func(t *testing.T, in language) {
		e := newExchange(t, 1)
		modules := t.TempDir()
		run(t, in, e, `
const path = require('path');
const helper = require('./helper'), installed = require('installed');
function handler(event) {
  return [helper.name, helper.handlers.module === module, installed, process.env.GREETING, path.basename(__filename), path.basename(__dirname),
    process.argv.length, process.argv[1] === __filename, require.main === module, typeof Supervisor, this === undefined || this === global || typeof this];
}
exports.module = module;
`, withEnv("GREETING=hello", "NODE_PATH="+modules), func(w *worker) {
			// Like a mounted ConfigMap: the files are links, and Node caches modules by the files that they lead to.
			w.write("real/handler.js", "")
			w.write("real/helper.js", "exports.name = 'helped';\nexports.handlers = require('./handler');\n")
			w.write("code/other", "")
			for _, name := range []string{"handler.js", "helper.js"} {
				if err := os.Symlink("../real/"+name, w.path("code/"+name)); err != nil {
					t.Fatal(err)
				}
			}
			writeFile(t, modules+"/installed.js", "module.exports = 'found';\n")
		})
		want := `["helped",true,"found","hello","handler.js","code",2,true,false,"undefined",true]`
		if got := string(e.outcome(t, 0).Result); got != want {
			t.Errorf("the handler sees %s, not %s (%+v)", got, want, e.outcome(t, 0).Error)
		}
	})
}

func TestTheOutputOfNodesWorkerThreadsIsReported(t *testing.T) {
	e := newExchange(t, 2)
	run(t, needNode(t), e, `
const { Worker } = require('worker_threads');
function handler(event) {
  return new Promise((resolve, reject) => {
    const worker = new Worker('const { parentPort, workerData } = require("worker_threads"); console.log("from a thread"); parentPort.postMessage(workerData * 2)', { eval: true, workerData: event[0] });
    let value;
    worker.on('message', (message) => { value = message });
    worker.on('error', reject);
    worker.on('exit', () => resolve(value));
  });
}
`)
	if o := e.outcome(t, 1); string(o.Result) != "2" || string(o.Stdout) != "from a thread\n" {
		t.Errorf("the outcome is %s %s with stdout %q (%+v)", o.Status, o.Result, o.Stdout, o.Error)
	}
}

// splitMarks gives an OutputStream the output of two inputs with their marks, split in two at every position.
const splitMarks = `
const { OutputStream } = require(process.argv[1]);
const mark = Buffer.from('<the mark of 24 bytes !>');
const whole = Buffer.concat([Buffer.from('<the one<<'), mark, Buffer.from('two'), mark, Buffer.from('<the')]);
for (let cut = 0; cut <= whole.length; cut++) {
  const written = [], socket = { _handle: {}, on() {}, resume() {}, destroyed: true };
  const printed = new OutputStream('stdout', socket, { write: (data) => written.push(data) }, mark, { limits: { outputBytes: 100 }, onOutput() {} });
  printed.take(whole.slice(0, cut));
  printed.take(whole.slice(cut));
  const text = (tail) => tail.data(100).toString();
  const got = [text(printed.next())];
  if (text(printed.current()) !== 'two') throw new Error(cut + ': the current output is ' + text(printed.current()));
  got.push(text(printed.next()));
  printed.drain();
  got.push(text(printed.tail), Buffer.concat(written).toString());
  if (got.join('|') !== '<the one<<|two|<the|<the one<<two<the') throw new Error(cut + ': ' + got.join('|'));
}
`

func TestMarksAreFoundWhereverAReadEnds(t *testing.T) {
	module, err := filepath.Abs("node/src/output.js")
	if err != nil {
		t.Fatal(err)
	}
	eachNode(t, func(t *testing.T, in language) {
		if out, err := exec.Command(in.path, "-e", splitMarks, module).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}
