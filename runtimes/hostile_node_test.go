package runtimes_test

import (
	"fmt"
	"strings"
	"testing"
)

// nodeNeighbours is a module with a handler that prints and returns. For input 3 it executes the body of the test.
const nodeNeighbours = `
const fs = require('fs'), os = require('os'), childProcess = require('child_process');
const blockFor = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function asynchronous(event) {
%ASYNC
}

function hostile(event) {
%BODY
}

function handler(event) {
  if (event[0] === 3) return hostile(event);
  process.stdout.write('out ' + event[0] + '\n');
  process.stderr.write('err ' + event[0] + '\n');
  return event[0] * 10;
}
`

var hostileNodeHandlers = map[string]struct {
	body    string
	async   string // the body of an async function, instead of body
	timeout int
	want    expected
}{
	"one that ends the process": {
		body: `process.stdout.write('before'); process.exit(3)`,
		want: expected{status: "Failed", crash: true, kind: "ProcessExited", message: "exited with status 3 while it ran this input: handler(event) must return", stdout: "before"},
	},
	"one that ends the process with 0": {
		body: `process.exit(0)`,
		want: expected{status: "Failed", crash: true, kind: "ProcessExited", message: "exited with status 0"},
	},
	"one that ends the process later, while it waits": {
		async: `setTimeout(() => process.exit(4), 10); await sleep(60000)`,
		want:  expected{status: "Failed", crash: true, kind: "ProcessExited", message: "exited with status 4"},
	},
	"one that aborts": {
		body: `process.abort()`,
		want: expected{status: "Failed", crash: true, kind: "ProcessKilled", message: "signal 6 (SIGABRT)"},
	},
	"one that dies of a segmentation fault": {
		body: `process.kill(process.pid, 'SIGSEGV'); blockFor(60000)`,
		want: expected{status: "Failed", crash: true, kind: "ProcessKilled", message: "signal 11 (SIGSEGV)"},
	},
	"one that kills itself": {
		body: `process.kill(process.pid, 'SIGKILL'); blockFor(60000)`,
		want: expected{status: "Failed", crash: true, kind: "ProcessKilled", message: "signal 9 (SIGKILL)"},
	},
	"one that signals its process group": {
		body: `process.kill(0, 'SIGTERM'); blockFor(60000)`,
		want: expected{status: "Failed", crash: true, kind: "ProcessKilled", message: "signal 15 (SIGTERM)"},
	},
	"one that interrupts its process group": {
		body: `process.kill(0, 'SIGINT'); blockFor(60000)`,
		want: expected{status: "Failed", crash: true, kind: "ProcessKilled", message: "signal 2 (SIGINT)"},
	},
	"one that signals its parent": {
		body: `
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGPIPE', 'SIGKILL', 'SIGSTOP', 'SIGTSTP']) {
    process.kill(process.ppid, name);
  }
  blockFor(300);
  return 'alive';`,
		want: expected{status: "Succeeded", result: `"alive"`},
	},
	"one that stops itself": {
		body: `process.kill(process.pid, 'SIGSTOP'); return 'continued'`,
		want: expected{status: "Succeeded", result: `"continued"`},
	},
	"one that stops its process group again and again": {
		body:    `for (let i = 0; i < 10; i++) process.kill(0, 'SIGSTOP'); return 'continued'`,
		timeout: 20,
		want:    expected{status: "Succeeded", result: `"continued"`},
	},
	"one that loops without end": {
		body:    `for (;;);`,
		timeout: 3,
		want:    expected{status: "TimedOut", kind: "TimeLimitExceeded", message: "time limit of 3 s", stderr: "time limit of 3 s"},
	},
	"one that is stuck in a regular expression": {
		body:    `return /^(a+)+$/.test('a'.repeat(60) + 'b')`,
		timeout: 3,
		want:    expected{status: "TimedOut", kind: "TimeLimitExceeded"},
	},
	"one that awaits past its time limit": {
		async:   `console.log('begun'); await sleep(600000)`,
		timeout: 3,
		want:    expected{status: "TimedOut", kind: "TimeLimitExceeded", stdout: "begun\n"},
	},
	"one that ignores signals and waits": {
		body: `
  for (const name of Object.keys(os.constants.signals)) {
    try { process.on(name, () => {}) } catch (error) { /* SIGKILL and SIGSTOP */ }
  }
  blockFor(600000);`,
		timeout: 3,
		want:    expected{status: "TimedOut", kind: "TimeLimitExceeded"},
	},
	"one whose promise can never settle": {
		body: `return new Promise(() => {})`,
		want: expected{status: "Failed", kind: "NeverSettled", message: "can never settle", stderr: "can never settle"},
	},
	"one that awaits what never settles": {
		async: `await sleep(5); await new Promise(() => {})`,
		want:  expected{status: "Failed", kind: "NeverSettled"},
	},
	"one that prints without end": {
		body:    `for (;;) fs.writeSync(1, 'x'.repeat(65536))`,
		timeout: 3,
		want:    expected{status: "TimedOut", stdout: strings.Repeat("x", 256<<10)},
	},
	"one that prints without end, in turns": {
		async:   `for (;;) { console.log('x'.repeat(99999)); await null }`,
		timeout: 3,
		want:    expected{status: "TimedOut"},
	},
	"one that closes stdin, stdout and stderr": {
		body: `fs.closeSync(0); fs.closeSync(1); fs.closeSync(2); return 'closed'`,
		want: expected{status: "Succeeded", result: `"closed"`},
	},
	"one that ends its streams": {
		body: `process.stdout.write('last'); process.stdout.end(); process.stderr.end(); process.stdin.destroy(); return 'closed'`,
		want: expected{status: "Succeeded", result: `"closed"`, stdout: "last"},
	},
	"one that destroys its streams": {
		body: `process.stdout.destroy(); process.stderr.destroy(); return 'closed'`,
		want: expected{status: "Succeeded", result: `"closed"`},
	},
	"one that opens a file where stdout was": {
		body: `fs.closeSync(1); return fs.openSync('/dev/null', 'w')`,
		want: expected{status: "Succeeded", result: "1"},
	},
	"one that closes every descriptor": {
		body: `for (let fd = 0; fd < 4096; fd++) { try { fs.closeSync(fd) } catch (error) { /* it is not open */ } }`,
		want: expected{status: "Failed", crash: true},
	},
	"one that closes the descriptors of the runner": {
		body: `for (let fd = 3; fd < 8; fd++) fs.closeSync(fd); return 'closed'`,
		want: expected{status: "Failed", crash: true, kind: "ProcessExited", message: "closed the descriptors by which it reports"},
	},
	"one that replaces process.stdout.write and console": {
		body: `
  process.stdout.write = process.stderr.write = () => { throw new Error('write') };
  console.log = () => { throw new Error('log') };
  global.console = null;
  Object.defineProperty(process, 'stdout', { value: null, configurable: true });
  return 'replaced';`,
		want: expected{status: "Succeeded", result: `"replaced"`},
	},
	"one that replaces everything": {
		body: `
  const bad = () => { throw new Error('replaced') };
  JSON.stringify = JSON.parse = bad;
  for (const name of Object.keys(fs)) if (typeof fs[name] === 'function') fs[name] = bad;
  Promise.prototype.then = bad;
  global.Promise = global.setImmediate = global.setTimeout = global.Buffer = global.Date = bad;
  process.hrtime = process.exit = process.reallyExit = process.on = process.nextTick = bad;
  Object.prototype.toJSON = bad;
  return 'broken';`,
		want: expected{status: "Succeeded", result: `"broken"`},
	},
	"one that damages its environment": {
		body: `process.chdir('/'); process.umask(0o777); process.env = {}; for (const key of Object.keys(require.cache)) delete require.cache[key]; return 'broken'`,
		want: expected{status: "Succeeded", result: `"broken"`},
	},
	"one that throws": {
		body: `throw new TypeError('This is a test Exception')`,
		want: expected{status: "Failed", kind: "TypeError", message: "This is a test Exception", stderr: "TypeError: This is a test Exception\n    at hostile (handler.js:11:7)"},
	},
	"one that rejects": {
		async: `await sleep(1); throw new TypeError('This is a test Exception')`,
		want:  expected{status: "Failed", kind: "TypeError", message: "This is a test Exception", stderr: "TypeError: This is a test Exception\n    at asynchronous (handler.js:7:23)"},
	},
	"one that throws null": {
		body: `throw null`,
		want: expected{status: "Failed", kind: "null", message: "null", stderr: "Uncaught null\n"},
	},
	"one that throws a text": {
		body: `throw 'enough'`,
		want: expected{status: "Failed", kind: "string", message: "enough", stderr: "Uncaught 'enough'\n"},
	},
	"one that throws undefined": {
		body: `throw undefined`,
		want: expected{status: "Failed", kind: "undefined", message: "undefined"},
	},
	"one that rejects with an object": {
		async: `throw { code: 7 }`,
		want:  expected{status: "Failed", kind: "Object", message: "{ code: 7 }"},
	},
	"one that throws what cannot be shown": {
		body: `throw Object.defineProperty(new RangeError('x'), 'message', { get() { throw new Error('no') } })`,
		want: expected{status: "Failed", kind: "RangeError"},
	},
	"one that throws a proxy without properties": {
		body: `throw new Proxy({}, { get() { throw new Error('no') }, getPrototypeOf() { throw new Error('no') } })`,
		want: expected{status: "Failed"},
	},
	"one whose thenable throws": {
		body: `return { get then() { throw new Error('not then') } }`,
		want: expected{status: "Failed", kind: "Error", message: "not then"},
	},
	"one whose thenable fulfils": {
		body: `return { then(fulfil, reject) { fulfil('then'); reject(new Error('late')); throw new Error('later') } }`,
		want: expected{status: "Succeeded", result: `"then"`},
	},
	"one that recurses too deeply": {
		body: `return hostile(event)`,
		want: expected{status: "Failed", kind: "RangeError", message: "call stack"},
	},
	"one that returns what has no text": {
		body: `return { toJSON() { throw new Error('no JSON') }, [require('util').inspect.custom]() { throw new Error('no text') } }`,
		want: expected{status: "Failed", kind: "Error", message: "no JSON"},
	},
	"one that throws in a callback and waits": {
		async: `setTimeout(() => { throw new Error('in a callback') }, 5); await sleep(60000)`,
		want:  expected{status: "Failed", kind: "Error", message: "in a callback", stderr: "in a callback"},
	},
	"one that leaves a rejection behind": {
		body: `Promise.reject(new Error('not handled')); return 1`,
		want: expected{status: "Failed", kind: "Error", message: "not handled", stderr: "not handled"},
	},
	"one that leaves a rejection behind and waits": {
		async: `Promise.reject(new Error('not handled')); await sleep(60000)`,
		want:  expected{status: "Failed", kind: "Error", message: "not handled"},
	},
	"one that leaves an interval running": {
		body: `setInterval(() => {}, 1); return 'left'`,
		want: expected{status: "Succeeded", result: `"left"`},
	},
	"one that leaves a promise and a server running": {
		body: `sleep(600000); require('net').createServer().listen(0); return 'left'`,
		want: expected{status: "Succeeded", result: `"left"`},
	},
	"one whose exit handlers do not end": {
		body: `process.on('exit', () => blockFor(600000)); return 'left'`,
		want: expected{status: "Succeeded", result: `"left"`},
	},
	"one that leaves a child process running": {
		body: `childProcess.spawn('sleep', ['600'], { stdio: 'inherit' }); return 'parent'`,
		want: expected{status: "Succeeded", result: `"parent"`},
	},
	"one that leaves a daemon with its descriptors": {
		body: `childProcess.spawn('sh', ['-c', 'sleep 600 & sleep 600'], { stdio: 'inherit', detached: true }).unref(); return 'parent'`,
		want: expected{status: "Succeeded", result: `"parent"`},
	},
	"one whose subprocess prints": {
		body: `childProcess.execSync('echo out; echo err >&2', { stdio: 'inherit' })`,
		want: expected{status: "Succeeded", result: "null", stdout: "out\n", stderr: "err\n"},
	},
	"one whose subprocess is another Node that prints": {
		body: `childProcess.execFileSync(process.execPath, ['-e', 'process.stdout.write("x".repeat(400000))'], { stdio: 'inherit' }); process.stdout.write('y'.repeat(400000)); return 1`,
		want: expected{status: "Succeeded", result: "1", stdout: strings.Repeat("y", 256<<10)},
	},
	"one that prints bytes that are no text": {
		body: `fs.writeSync(1, Buffer.from([0xff, 0, 0xfe])); process.stderr.write(Buffer.from([0x80]))`,
		want: expected{status: "Succeeded", stdout: "\xff\x00\xfe", stderr: "\x80"},
	},
	"one that prints after it has returned, at once": {
		body: `Promise.resolve().then(() => console.log('soon')); process.nextTick(() => console.log('next')); return 1`,
		want: expected{status: "Succeeded", result: "1"},
	},
	"one that reads stdin": {
		body: `return fs.readFileSync(0, 'utf8')`,
		want: expected{status: "Succeeded", result: `""`},
	},
	"one that fills the heap": {
		body: `const kept = []; for (;;) kept.push(new Array(100000).fill(event.length + 0.5))`,
		want: expected{status: "Failed", crash: true, kind: "OutOfMemory", message: "--max-old-space-size", stderr: "the JavaScript heap was full"},
	},
	"one that makes too long a text": {
		body: `let text = 'x'; for (;;) text += text`,
		want: expected{status: "Failed", kind: "RangeError", message: "Invalid string length"},
	},
}

func TestEachHostileNodeHandlerGetsItsOwnOutcomeAndItsNeighboursSucceed(t *testing.T) {
	for name, tc := range hostileNodeHandlers {
		t.Run(name, func(t *testing.T) {
			eachNode(t, func(t *testing.T, in language) {
				body := tc.body
				if body == "" {
					body = "return asynchronous(event)"
				}
				code := strings.NewReplacer("%ASYNC", tc.async, "%BODY", body).Replace(nodeNeighbours)
				// A heap of the default size would use all the memory of a small machine.
				amongNeighbours(t, in, code, tc.timeout, tc.want, withEnv("NODE_OPTIONS=--max-old-space-size=300"))
			})
		})
	}
}

// Node waits for no process that it did not start, so orphans that were killed stay in the process table as zombies.
func TestAWorkerWithTooManyZombiesExits(t *testing.T) {
	const forks = `
const childProcess = require('child_process');
function handler(event) {
  if (event[0] !== 1) return event[0];
  for (let i = 0; i < 2; i++) childProcess.spawn('sh', ['-c', 'f() { (f &); }; f'], { stdio: 'ignore', detached: true });
  for (;;);
}
`
	eachNode(t, func(t *testing.T, in language) {
		e := newExchange(t, 4)
		e.timeout = 3
		w := start(t, in, e, forks, asProcessOne, edited("MAX_ZOMBIES = 1000", "MAX_ZOMBIES = 5"))
		if status := w.wait(); status != 1 {
			t.Errorf("the worker exited with %d, not 1: its index must not count as completed", status)
		}
		if o := e.outcome(t, 1); o.Status != "TimedOut" {
			t.Errorf("the input that forked is %s: %+v", o.Status, o.Error)
		}
		if !strings.Contains(w.stderr.String(), "this worker ends, and a new pod takes its place") {
			t.Errorf("the worker logs %q", w.stderr.String())
		}
		start(t, in, e, forks, asProcessOne, named("another")).finish()
		e.check(t)
		if got := e.counts()["Succeeded"]; got != 3 {
			t.Errorf("%d inputs succeeded, not 3", got)
		}
	})
}

func TestAnExceptionBetweenTwoInputsIsLoggedAndTheProcessReplaced(t *testing.T) {
	for name, code := range map[string]string{
		"an exception": "setTimeout(() => { throw new Error('in between') }, 100)",
		"a rejection":  "setTimeout(() => { Promise.reject(new Error('in between')) }, 100)",
	} {
		t.Run(name, func(t *testing.T) {
			eachNode(t, func(t *testing.T, in language) {
				e := newExchange(t, 3)
				e.pending = []int{0}
				w := start(t, in, e, "let calls = 0;\nfunction handler(event) { if (event[0] === 0) "+code+"; return ++calls }")
				waitForText(t, w, "an exception between two inputs was not caught (Error: in between); a new process is started")
				e.mu.Lock()
				e.pending = []int{1, 2}
				e.notify()
				e.mu.Unlock()
				w.finish()
				e.check(t)
				for i, want := range []string{"1", "1", "2"} {
					if o := e.outcome(t, i); string(o.Result) != want || strings.Contains(string(o.Stderr), "in between") {
						t.Errorf("the outcome of %d is %s %s (%s), not %s", i, o.Status, o.Result, o.Stderr, want)
					}
				}
				if !strings.Contains(w.stderr.String(), "handler.js:2:") {
					t.Errorf("the container's stderr has no traceback: %q", w.stderr.String())
				}
			})
		})
	}
}

func TestAfterAnUncaughtExceptionTheProcessIsReplaced(t *testing.T) {
	eachNode(t, func(t *testing.T, in language) {
		e := newExchange(t, 4)
		run(t, in, e, `
let calls = 0;
function handler(event) {
  if (event[0] === 1) setTimeout(() => { throw new Error('later') }, 500);
  if (event[0] === 2) return new Promise((resolve) => setTimeout(resolve, 60000));
  return ++calls;
}
`)
		var got []string
		for i := range 4 {
			o := e.outcome(t, i)
			got = append(got, string(o.Result))
			if o.Error != nil {
				got[i] = o.Error.Message
			}
		}
		// The exception fails the input that executes, and the counter of the new process begins at 0.
		if want := "[1 2 later 1]"; fmt.Sprint(got) != want {
			t.Errorf("the outcomes are %v, not %s", got, want)
		}
	})
}

func TestAModuleMayHandleUncaughtExceptionsItself(t *testing.T) {
	eachNode(t, func(t *testing.T, in language) {
		e := newExchange(t, 1)
		run(t, in, e, `
const caught = [];
process.on('unhandledRejection', (error) => caught.push(error.message));
process.on('uncaughtException', (error) => caught.push(error.message));
async function handler(event) {
  Promise.reject(new Error('a'));
  setTimeout(() => { throw new Error('b') }, 1);
  await new Promise((resolve) => setTimeout(resolve, 50));
  return caught;
}
`)
		if got := string(e.outcome(t, 0).Result); got != `["a","b"]` {
			t.Errorf("the module's listeners got %s (%+v)", got, e.outcome(t, 0).Error)
		}
	})
}

func TestExitHandlersRunAtTheEnd(t *testing.T) {
	eachNode(t, func(t *testing.T, in language) {
		w := run(t, in, newExchange(t, 2), "process.on('exit', () => console.log('goodbye'));\nfunction handler(event) {}",
			edited("DISMISS_TIMEOUT = 1;", "DISMISS_TIMEOUT = 30;"), edited("EXIT_TIMEOUT = 7;", "EXIT_TIMEOUT = 60;"))
		if !strings.Contains(w.stdout.String(), "goodbye\n") {
			t.Errorf("the container's stdout is %q", w.stdout.String())
		}
	})
}
