package runtimes_test

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// documented is a row of the table in docs/functions.md: an expression, the result or the type of the error, the text.
var documented = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (?:`([^`]*)` )?\\| (?:`([^`]*)` )?\\|$")

func TestTheDocumentedResultsOfNodeAreTheRunners(t *testing.T) {
	_, section, found := strings.Cut(readFile(t, "../docs/functions.md"), "\n### Node\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := documented.FindAllStringSubmatch(section, -1)
	if !found || len(rows) < 30 || len(rows) != strings.Count(section, "\n| `") {
		t.Fatalf("the table of docs/functions.md has %d rows that can be read", len(rows))
	}
	var code strings.Builder
	code.WriteString("function handler(event) { return VALUES[event[0]]() }\nconst VALUES = [\n")
	for _, row := range rows {
		fmt.Fprintf(&code, "  () => (%s),\n", row[1])
	}
	code.WriteString("];\n")
	e := newExchange(t, len(rows))
	e.batch = 100
	run(t, needNode(t), e, code.String())
	for i, row := range rows {
		o := e.outcome(t, i)
		got, text := string(o.Result), ""
		if o.ResultText != nil {
			text = *o.ResultText
		}
		if o.Error != nil {
			got = o.Error.Type
		}
		if diff := cmp.Diff([]string{row[2], row[3]}, []string{got, text}); diff != "" {
			t.Errorf("%s (-documented +got, %+v):\n%s", row[1], o.Error, diff)
		}
	}
}

func TestIteratorsAreConsumedWithinTheLimitsAndClosed(t *testing.T) {
	const code = `
const fs = require('fs'), later = (value) => new Promise((resolve) => setTimeout(resolve, 30, value));
const closed = [];
function* endless() { try { for (;;) yield 'x'.repeat(50); } finally { closed.push('sync'); } }
async function* endlessLater() { try { for (;;) yield later('x'.repeat(500)); } finally { closed.push('async'); } }
function* throws() { console.log('ran'); yield 1; throw new RangeError('in the body'); }
async function* throwsLater() { yield 1; await later(); throw new RangeError('in the body'); }
async function* slow() { yield await later(1); yield { inner: slower() }; }
async function* slower() { yield await later(2); }
function handler(event) {
  switch (event[0]) {
    case 0: return { rows: endless() };
    case 1: return endlessLater();
    case 2: return [throws()];
    case 3: return throwsLater();
    case 4: return slow();
    case 5: return { count: new Float64Array(2000) };
    case 6: return new Array(1e9);
    case 7: return (async function* () { yield 1; await new Promise(() => {}); })();
    case 8: return [later(1)];
    case 9: return closed;
  }
}
`
	eachNode(t, func(t *testing.T, in language) {
		e := newExchange(t, 10)
		e.limits["resultBytes"] = 1000
		run(t, in, e, code)
		for i, want := range []string{"ResultTooLarge", "ResultTooLarge", "RangeError: in the body", "RangeError: in the body", `[1,{"inner":[2]}]`,
			"ResultTooLarge", "ResultTooLarge", "NeverSettled", "ResultNotSerializable: the result cannot be stored as JSON: $[0] is a Promise: await it; for several ones, await Promise.all", `["sync","async"]`} {
			o := e.outcome(t, i)
			got := string(o.Result)
			if o.Error != nil {
				got = o.Error.Type + ": " + o.Error.Message
			}
			if !strings.HasPrefix(got, want) {
				t.Errorf("the outcome of %d is %.300s, not %s", i, got, want)
			}
		}
		if o := e.outcome(t, 2); !strings.Contains(o.Error.Traceback, "at throws (handler.js:6:") || string(o.Stdout) != "ran\n" {
			t.Errorf("the traceback of the generator is %q, its output %q", o.Error.Traceback, o.Stdout)
		}
		if o := e.outcome(t, 4); o.DurationMicros < 55_000 {
			t.Errorf("the generators that waited 60 ms took %d µs", o.DurationMicros)
		}
	})
}

func TestAGeneratorMayYieldTheResultsOfABatch(t *testing.T) {
	for name, head := range map[string]string{"a generator": "function* handler(events) {", "an asynchronous one": "async function* handler(events) {"} {
		t.Run(name, func(t *testing.T) {
			eachNode(t, func(t *testing.T, in language) {
				callOfFour(t, in, head+" for (const event of events) yield event[0] === 1 ? (function* () { throw new RangeError('one') })() : event[0]; }\n",
					outcomesOfFour{1: "RangeError: one"})
			})
		})
	}
}

func TestNodeModulesOfEveryKindAreLoaded(t *testing.T) {
	for name, code := range map[string]string{
		"export function":                     "import fs from 'fs';\nexport function handler(event) { return 'x' + event[0] + (fs.existsSync('/') ? '' : '!') }\n",
		"export default":                      "import { join } from 'path';\nexport default async function (event) { return join('x' + event[0]) }\n",
		"export const":                        "export const handler = (event) => 'x' + event[0];\n",
		"export list":                         "const handle = (event) => 'x' + event[0];\nexport { handle as handler };\n",
		"top-level await":                     "const x = await Promise.resolve('x');\nfunction handler(event) { return x + event[0] }\n",
		"an import of a file beside it":       "import { x } from './helper.js';\nexport default { handler: (event) => x + event[0] };\n",
		"an import of CommonJS beside it":     "import legacy from './legacy.js';\nexport default (event) => legacy.x + event[0];\n",
		"an import of a package":              "import x from 'installed';\nexport default (event) => x + event[0];\n",
		"exports.default of a compiler":       "'use strict';\nObject.defineProperty(exports, '__esModule', { value: true });\nexports.default = async (event) => 'x' + event[0];\n",
		"before a return at the top":          "'use strict';\nfunction handler(event) { return this === undefined ? 'x' + event[0] : 'not strict' }\nif (typeof window === 'undefined') {\n  return;\n}\n",
		"behind a hash bang, before a return": "#!/usr/bin/env node\nfunction handler(event) { return 'x' + event[0] }\nreturn;\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newExchange(t, 2)
			modules := t.TempDir()
			writeFile(t, modules+"/installed.js", "module.exports = 'x';\n")
			run(t, needNode(t), e, code, withEnv("NODE_PATH="+modules), func(w *worker) {
				w.write("code/helper.js", "export const x = 'x';\n")
				w.write("code/legacy.js", "module.exports = { x: 'x' };\n")
				w.write("code/node_modules/installed/index.js", "module.exports = 'x';\n")
			})
			if got := string(e.outcome(t, 1).Result); got != `"x1"` {
				t.Errorf("the result is %s (%+v)", got, e.outcome(t, 1).Error)
			}
		})
	}
}

func TestAnESModuleThatCannotBeLoadedIsReported(t *testing.T) {
	for name, tc := range map[string]struct {
		code string
		want fault
	}{
		"one that throws":         {"import fs from 'fs';\nthrow new RangeError('at the top');\n", fault{Type: "RangeError", Message: "at the top", Traceback: "    at handler.js:2:7"}},
		"a syntax error":          {"import fs from 'fs';\nexport function handler(event) { return ( }\n", fault{Type: "SyntaxError", Traceback: "handler.js:2"}},
		"without a handler":       {"export const other = 1;\n", fault{Type: "HandlerMissing"}},
		"one that never settles":  {"export const other = await new Promise(() => {});\n", fault{Type: "NeverSettled", Message: "what the module awaits"}},
		"CommonJS with one await": {"function handler(event) { await 1 }\n", fault{Type: "SyntaxError", Message: "await is only valid"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cannotBeLoaded(t, needNode(t), tc.code, tc.want)
		})
	}
}

func TestHandlersForAnotherRuntimeFailWithHowThisOneCallsThem(t *testing.T) {
	const called = "this runtime calls handler(event) with one argument"
	for name, tc := range map[string]struct{ code, want string }{
		"a callback at once":         {"exports.handler = (event, context, callback) => { callback(null, 1); };", called},
		"a callback later":           {"exports.handler = (event, context, callback) => { setTimeout(() => callback(null, 1), 60000).unref(); };", called},
		"a callback without context": {"exports.handler = (event, done) => { setTimeout(() => done(1), 60000).unref(); };", called},
		"a promise and a callback":   {"exports.handler = (event, context) => new Promise(() => {});", called},
		"the context":                {"exports.handler = async (event, context) => context.awsRequestId;", called},
		"a default":                  {"exports.handler = (event, options = {}) => 1;", ""},
		"two parameters, one of use": {"exports.handler = (event, options) => { console.log(event) };", ""},
		"an error of something else": {"exports.handler = (event, context) => { throw new RangeError('no') };", "RangeError: no"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newExchange(t, 1)
			run(t, needNode(t), e, tc.code)
			o := e.outcome(t, 0)
			if tc.want == "" && o.Error != nil || tc.want != "" && (o.Error == nil || !strings.Contains(o.Error.Type+": "+o.Error.Message, tc.want)) {
				t.Errorf("the error is %+v, not %q", o.Error, tc.want)
			}
			if tc.want != called && o.Error != nil && strings.Contains(o.Error.Message, called) {
				t.Errorf("the error is %+v", o.Error)
			}
		})
	}
}

func TestNodeTracebacksShowWhatIsInAnError(t *testing.T) {
	for name, tc := range map[string]struct {
		body string
		want []string
	}{
		"inner errors": {`throw new AggregateError([new Error('disk full'), new TypeError('bad shape')], 'all failed')`, []string{"all failed", "disk full", "TypeError: bad shape"}},
		"a cause":      {`throw new Error('outer', { cause: new TypeError('inner', { cause: { code: 5 } }) })`, []string{"Error: outer", "TypeError: inner", "code: 5"}},
		"properties":   {`throw Object.assign(new Error('status 422'), { response: { data: { detail: 'field lr is required' } } })`, []string{"status 422", "field lr is required"}},
		"much in it":   {`throw Object.assign(new Error('large'), { data: Array.from({ length: 3000 }, () => Array(3000).fill({ a: 1 })) })`, []string{"Error: large", "more items"}},
		"a getter":     {`throw Object.defineProperty(new Error('x'), 'bad', { enumerable: true, get() { process.exit(3) } })`, []string{"Error: x"}},
		"a cycle":      {`const e = new Error('round'); e.cause = e; throw e`, []string{"Error: round", "Circular"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newExchange(t, 1)
			run(t, needNode(t), e, "function handler(event) {\n  "+tc.body+"\n}\n")
			trace := e.outcome(t, 0).Error.Traceback
			if strings.Count(trace, "{") != strings.Count(trace, "}") || strings.Contains(trace, "matching cause stack trace") {
				t.Errorf("the frames that are left out leave a half of something:\n%s", trace)
			}
			for _, want := range tc.want {
				if !strings.Contains(trace, want) {
					t.Errorf("the traceback lacks %q:\n%.3000s", want, trace)
				}
			}
			if strings.Contains(trace, "runner.js") || len(trace) > 70<<10 {
				t.Errorf("the traceback of %d bytes shows the runner, or is too long:\n%.3000s", len(trace), trace)
			}
		})
	}
}

func TestAReportThatTheExchangeRefusesIsSplit(t *testing.T) {
	e := newExchange(t, 12)
	e.batch = 12
	refused := 0
	e.decide = nil
	poison := []byte(`"result":"poison"`)
	e.faults = func(_ int, body []byte) requestFault {
		if bytes.Contains(body, poison) {
			refused++
			return invalid
		}
		return none
	}
	run(t, needNode(t), e, "function handler(event) { return event[0] === 5 ? 'poison' : event[0] }\n")
	for i := range 12 {
		o := e.outcome(t, i)
		if i == 5 {
			if o.Status != "Failed" || o.Error.Type != "ResultRefused" || !strings.Contains(o.Error.Message, "not valid") {
				t.Errorf("the outcome that was refused is %s %+v", o.Status, o.Error)
			}
		} else if got := string(o.Result); got != fmt.Sprint(i) {
			t.Errorf("the result of %d is %s %+v", i, got, o.Error)
		}
	}
	if refused == 0 || refused > 6 {
		t.Errorf("%d calls were refused", refused)
	}
}

func TestWhatANodeModulePrintsIsReportedWithItsLoad(t *testing.T) {
	for name, tc := range map[string]struct{ code, stdout, stderr string }{
		"it is loaded":    {"console.log('loading');\nfunction handler(event) { return 1 }\n", "loading\n", ""},
		"it throws":       {"console.log('loading');\nthrow new RangeError('no');\n", "loading\n", "RangeError: no"},
		"it exits":        {"process.stderr.write('no model\\n');\nprocess.exit(3);\n", "", "no model\n"},
		"it prints a lot": {"console.log('€'.repeat(10000));\nfunction handler(event) { return 1 }\n", strings.Repeat("€", 2730) + "\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newExchange(t, 1)
			e.decide = func(c call, a *answer) (int, string) {
				if c.LoadError != nil {
					a.Action = "finished"
				}
				return 0, ""
			}
			run(t, needNode(t), e, tc.code)
			var got []string
			for _, c := range e.calls {
				if c.LoadOutput.Stdout+c.LoadOutput.Stderr != "" {
					got = append(got, c.LoadOutput.Stdout, c.LoadOutput.Stderr)
				}
			}
			if len(got) < 2 || got[0] != tc.stdout || !strings.HasPrefix(got[1], tc.stderr) || len(got) > 2 && !strings.Contains(tc.code, "no") {
				t.Errorf("the load output is %.200q, not %.100q and %q", got, tc.stdout, tc.stderr)
			}
		})
	}
}

func TestTheNodeChildGetsAHomeANameAndThreads(t *testing.T) {
	e := newExchange(t, 1)
	cgroup, home := t.TempDir(), t.TempDir()
	writeFile(t, cgroup+"/cpu.max", "250000 100000\n")
	run(t, needNode(t), e, `
const fs = require('fs'), os = require('os');
function handler(event) {
  fs.writeFileSync(os.homedir() + '/.cache/x', '');
  fs.writeFileSync(os.tmpdir() + '/x', '');
  return [process.env.HOME, process.env.XDG_CACHE_HOME, process.env.USER, process.env.LOGNAME, process.env.OMP_NUM_THREADS,
    process.env.UV_THREADPOOL_SIZE === undefined, os.tmpdir() !== '/tmp', fs.statSync(os.tmpdir()).mode & 0o777];
}
`, withEnv("HOME=/nonexistent/home", "XDG_CACHE_HOME=", "USER=", "LOGNAME=someone", "OMP_NUM_THREADS=", "SHAREDCLOUD_HOME="+home),
		edited("'/sys/fs/cgroup'", fmt.Sprintf("%q", cgroup)))
	want := fmt.Sprintf(`["%s","%s/.cache","someone","someone","3",true,true,448]`, home, home)
	if got := string(e.outcome(t, 0).Result); got != want {
		t.Errorf("the child has %s, not %s (%+v)", got, want, e.outcome(t, 0).Error)
	}
}

func TestWhatADeadNodeChildLeftIsRemovedBeforeTheNextOne(t *testing.T) {
	for owner, want := range map[string]string{"worker": `[["kept"],[]]`, "user": `[["kept","left","left-folder"],[]]`, "": `[["kept","left","left-folder"],[]]`} {
		t.Run("owner "+owner, func(t *testing.T) {
			t.Parallel()
			e := newExchange(t, 3)
			tmp := t.TempDir()
			// The worker has a /dev/shm of its own, in a mount namespace.
			run(t, needNode(t), e, `
const fs = require('fs'), os = require('os'), path = require('path');
function handler(event) {
  if (event[0] === 1) {
    fs.writeFileSync('/dev/shm/left', 'x'.repeat(1 << 20));
    fs.mkdirSync('/dev/shm/left-folder');
    fs.writeFileSync('/dev/shm/left-folder/x', '');
    fs.mkdirSync(os.tmpdir() + '/folder');
    fs.writeFileSync(os.tmpdir() + '/folder/x', '');
    process.kill(process.pid, 'SIGKILL');
  }
  return [fs.readdirSync('/dev/shm').sort(), fs.readdirSync(path.dirname(os.tmpdir())).filter((name) => path.join(path.dirname(os.tmpdir()), name) !== os.tmpdir())];
}
`, withEnv("SHAREDCLOUD_SHARED_MEMORY_OWNER="+owner, "TMPDIR="+tmp), func(w *worker) {
				w.prefix = []string{"unshare", "--mount", "sh", "-c", `mount -t tmpfs -o size=8m tmpfs /dev/shm && touch /dev/shm/kept && exec "$@"`, "sh"}
			})
			if o := e.outcome(t, 1); o.Error == nil || o.Error.Type != "ProcessKilled" {
				t.Errorf("the outcome of the input that died is %+v", o)
			}
			if got := string(e.outcome(t, 2).Result); got != want {
				t.Errorf("the next input finds %s, not %s (%+v)", got, want, e.outcome(t, 2).Error)
			}
		})
	}
}

func TestABusErrorOfNodeNamesTheSharedMemory(t *testing.T) {
	e := newExchange(t, 1)
	run(t, needNode(t), e, "function handler(event) { process.kill(process.pid, 'SIGBUS'); for (;;); }\n")
	if o := e.outcome(t, 0); o.Error == nil || !strings.Contains(o.Error.Message, "SIGBUS") || !strings.Contains(o.Error.Message, "set spec.pod.sharedMemory of the Function") {
		t.Errorf("the error is %+v", o.Error)
	}
}

func TestAProgressBarDoesNotPushOutWhatANodeHandlerPrinted(t *testing.T) {
	e := newExchange(t, 2)
	e.limits["outputBytes"] = 1000
	run(t, needNode(t), e, `
function handler(event) {
  process.stderr.write('warning: the one\n');
  for (let i = 0; i <= (event[0] ? 10 : 10000); i++) process.stderr.write('\r' + i + '/10000 [' + '#'.repeat(i / 500) + ']');
  process.stderr.write('\ndone\n');
}
`)
	long, short := e.outcome(t, 0), e.outcome(t, 1)
	if want := "warning: the one\n10000/10000 [####################]\ndone\n"; string(long.Stderr) != want || long.StderrDropped < 100_000 {
		t.Errorf("stderr is %.300q with %d dropped", long.Stderr, long.StderrDropped)
	}
	if !bytes.Contains(short.Stderr, []byte("\r9/10000 []\r10/10000 []\n")) || short.StderrDropped != 0 {
		t.Errorf("stderr that is not cut is %q with %d dropped", short.Stderr, short.StderrDropped)
	}
}
